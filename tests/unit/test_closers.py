"""Brackets and quotes that an editor closed itself are never doubled."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from codegen_lsp.completion.cleanup import Draft, tidy
from codegen_lsp.completion.lexing import PAIRS, lex
from codegen_lsp.completion.stopping import End
from codegen_lsp.syntax.languages import syntax_of
from codegen_lsp.types import Trigger
from tests.support.cursor import context_at, plan_at

LINES = [
    ("python", "return [word.strip(',;') for word in line.split(sep)]"),
    ("python", "parser.add_argument('--limit', type=int, default=10, help=\"at most\")"),
    ("python", "self._rows[key] = Row(*(cell(x) for x in values), **{'width': 4})"),
    ("python", 'raise ValueError(f"unknown kind {kind!r} of {name}")'),
    ("python", "if isinstance(item, (list, tuple)) and len(item[0]) > 2:"),
    ("python", "async def fetch(self, url: str, *, retries: int = 3) -> dict[str, list[int]]:"),
    ("python", "totals = {day: sum(hours.get((day, n), 0) for n in names) for day in days}"),
    ("javascript", "app.get('/users/:id', (req, res) => res.json({ id: req.params.id }));"),
    ("javascript", "const label = `${count} of ${total.toFixed(2)}`;"),
    ("javascript", "export const add = (a, b) => [...a, ...b].filter((x) => !!x);"),
    ("typescript", "const cache: Map<string, Array<number>> = new Map([['a', [1]]]);"),
    ("typescript", "return this.items.find((item) => item.id === id)?.name ?? 'none';"),
    ("java", "List<String> names = users.stream().map(u -> u.getName()).collect(toList());"),
    ("java", 'throw new IllegalArgumentException("bad size: " + sizes[index]);'),
    ("go", 'fmt.Fprintf(w, "%s: %d\\n", names[i], len(values[names[i]]))'),
    ("go", "ch := make(chan map[string][]int, cap(queue))"),
    ("c", 'printf("%d (%s)\\n", table[i].count, lookup(table[i].name, sizeof(buf)));'),
    ("c", "if ((p = strchr(line + 1, '=')) != NULL && isdigit((unsigned char)p[1]))"),
    ("cpp", "std::sort(v.begin(), v.end(), [&](auto a, auto b) { return key[a] < key[b]; });"),
    ("rust", "let sizes: Vec<usize> = parts.iter().map(|p| p.len()).collect();"),
    ("rust", 'assert_eq!(parse("(a [b])").unwrap(), vec![Token::Open, Token::Word("a")]);'),
]
CLOSED_BY = {opener: closer for closer, opener in PAIRS.items()}


def closed(head: str, language: str) -> str:
    """What an editor has put behind the cursor while *head* was typed."""
    state = lex(head, syntax_of(language))
    return state.inside + "".join(CLOSED_BY[sign] for sign in reversed(state.brackets))


def accepted(language: str, head: str, tail: str, said: str, end: End) -> str:
    """The line once the answer is accepted."""
    code = f"{head}¦{tail}\n"
    context = context_at(code, language=language)
    plan = plan_at(code, Trigger.INVOKED, language=language)
    left = tidy(Draft(said, plan, context, end))
    return head + tail if left is None else head + left.text + tail[left.replaced :]


@st.composite
def cut_lines(draw: st.DrawFn) -> tuple[str, str, str]:
    """A language and a line, cut where a bracket or a quote is open."""
    language, line = draw(st.sampled_from(LINES))
    places = [n for n in range(1, len(line)) if closed(line[:n], language) and line[n - 1] != "\\"]
    place = draw(st.sampled_from(places))
    return language, line[:place], line[place:]


@given(cut_lines(), st.sampled_from(["", "\n", "\nreturn 1", "\n\n}\n"]))
def test_the_line_that_was_meant(cut: tuple[str, str, str], more: str) -> None:
    """The right continuation gives the right line, whatever the editor closed already."""
    language, head, said = cut
    tail = closed(head, language)
    assert accepted(language, head, tail, said + more, End.WHOLE) == head + said


@given(cut_lines(), st.data(), st.sampled_from(End))
def test_a_part_of_the_line_that_was_meant(
    cut: tuple[str, str, str], data: st.DataObject, end: End
) -> None:
    """A continuation that breaks off gives a beginning of the line, with its brackets closed."""
    language, head, meant = cut
    tail = closed(head, language)
    said = meant[: data.draw(st.integers(0, len(meant)))]
    line = accepted(language, head, tail, said, end)
    state = lex(line, syntax_of(language))
    assert (state.unmatched, state.brackets, state.inside) == ((), "", "")
    kept = line
    while not (head + meant).startswith(kept):
        assert kept[-1] in ")]}\"'`", f"{line!r} is no beginning of {head + meant!r}"
        kept = kept[:-1]
    assert len(kept) >= len(head)


@given(cut_lines(), st.text("ab()[]{}\"'`, ", max_size=12), st.sampled_from(End))
def test_nothing_is_closed_twice(cut: tuple[str, str, str], said: str, end: End) -> None:
    """Whatever is said, no more is closed than is open, and nothing is left open."""
    language, head, _ = cut
    state = lex(accepted(language, head, closed(head, language), said, end), syntax_of(language))
    assert (state.unmatched, state.brackets) == ((), "")

"""Functions in each language that has a grammar, in three parts; for tests that finish them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ["FUNCTIONS"]

_SCRIPT_FUNCTIONS: Final = (
    (
        "function count(loans) {\n",
        '  const late = loans.filter((loan) => loan.days > 30 && /[{"]/.test(loan.note));\n'
        "  if (!late.length) {\n    return 0;\n  } else {\n    log(`${late.length} late`);\n  }\n"
        "  return late.length;\n",
        "}\n",
    ),
    (
        "export const rename = async (reader, name) => {\n",
        "  await store.save({ ...reader, name });\n",
        "};\n",
    ),
    (
        "class Shelf {\n  add(book) {\n",
        "    this.books.push(book);\n    return this;\n",
        "  }\n}\n",
    ),
)

FUNCTIONS: Final[Mapping[str, tuple[tuple[str, str, str], ...]]] = {
    "python": (
        (
            "def count(loans):\n",
            "    late = [loan for loan in loans if loan.days > 30]\n    if not late:\n"
            '        return 0\n\n    text = """\nnot less\n"""\n    log(text.format(\n'
            "        late,\n    ))\n    return len(late)\n",
            "",
        ),
        (
            'class Shelf:\n    def add(self, book):\n        """Put a book here."""\n',
            "        self.books.append(book)\n        return self\n",
            "",
        ),
    ),
    "java": (
        (
            "class Shelf {\n    int count(List<Loan> loans) {\n",
            "        int late = 0;\n        for (Loan loan : loans) {\n"
            "            if (loan.days() > 30 && loan.sign() != '{') late++;\n        }\n"
            '        log.info("} late {}", late);\n        return late;\n',
            "    }\n}\n",
        ),
        (
            "class Shelf {\n    static void close() throws IOException {\n",
            "        try {\n            room.close();\n        } finally {\n"
            "            open = false;\n        }\n",
            "    }\n}\n",
        ),
    ),
    "javascript": _SCRIPT_FUNCTIONS,
    "javascriptreact": (
        *_SCRIPT_FUNCTIONS,
        (
            "function Row({ book }) {\n",
            "  const open = () => show(book);\n"
            "  return <li onClick={open}>{book.title} isn't late</li>;\n",
            "}\n",
        ),
    ),
    "typescript": (
        *_SCRIPT_FUNCTIONS,
        (
            "export function group<T extends Loan>(loans: T[]): Map<string, T[]> {\n",
            "  const found = new Map<string, T[]>();\n  for (const loan of loans) {\n"
            "    const key = loan.reader as string;\n"
            "    found.set(key, [...(found.get(key) ?? []), loan]);\n  }\n  return found;\n",
            "}\n",
        ),
    ),
    "typescriptreact": (
        *_SCRIPT_FUNCTIONS,
        (
            "export function Row({ book }: Props): JSX.Element {\n",
            "  const [open, setOpen] = useState<boolean>(false);\n"
            "  return <li onClick={() => setOpen(!open)}>{book.title}</li>;\n",
            "}\n",
        ),
    ),
    "go": (
        (
            "func count(loans []Loan) (int, error) {\n",
            '\tlate := map[string]int{"}": 0}\n\tfor _, loan := range loans {\n'
            "\t\tif loan.Days > 30 {\n\t\t\tlate[loan.Name]++\n\t\t}\n\t}\n"
            "\treturn len(late), nil\n",
            "}\n",
        ),
        (
            "func (s *Shelf) Add(book Book) {\n",
            "\ts.books = append(s.books, book)\n",
            "}\n",
        ),
    ),
    "c": (
        (
            "static int count(const struct loan *loans, size_t length)\n{\n",
            "    int late = 0;\n    for (size_t i = 0; i < length; i++) {\n"
            "        if (loans[i].days > 30 && loans[i].sign != '}')\n            late++;\n    }\n"
            '    printf("{%d\\n", late);\n    return late;\n',
            "}\n",
        ),
        (
            "void shelf_add(struct shelf *shelf, struct book *book) {\n",
            "    book->next = shelf->first;\n    shelf->first = book;\n",
            "}\n",
        ),
    ),
    "cpp": (
        (
            "template <typename T>\nint count(const std::vector<T>& loans) {\n",
            "    auto late = [](const T& loan) { return loan.days > 30; };\n"
            '    std::cout << R"(} {)" << std::endl;\n'
            "    return std::count_if(loans.begin(), loans.end(), late);\n",
            "}\n",
        ),
        (
            "void Shelf::add(std::unique_ptr<Book> book) {\n",
            '    if (!book) {\n        throw std::invalid_argument("no book");\n    }\n'
            "    books_.push_back(std::move(book));\n",
            "}\n",
        ),
    ),
    "rust": (
        (
            "fn count<'a>(loans: &'a [Loan]) -> Result<usize, Error> {\n",
            "    let mut late = 0;\n    for loan in loans {\n        match loan.sign {\n"
            "            '{' => late += 1,\n            _ => continue,\n        }\n    }\n"
            "    Ok(late)\n",
            "}\n",
        ),
        (
            "impl Shelf {\n    pub fn add(&mut self, book: Book) -> &mut Self {\n",
            "        self.books.push(book);\n        self\n",
            "    }\n}\n",
        ),
    ),
}
"""Language identifier to functions in three parts: up to the body, the body, and what closes it."""

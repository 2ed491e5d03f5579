"""``codegen-lsp eval``: quality, measured by asking the real server for code that people wrote.

Says what is to be replayed and shows what came of it; measuring is ``evaluation.replay``'s affair.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from codegen_lsp.cli import state
from codegen_lsp.errors import UsageError

if TYPE_CHECKING:
    from codegen_lsp.config.settings import Settings
    from codegen_lsp.evaluation.replay.corpora import Repository
    from codegen_lsp.evaluation.replay.results import Run

__all__ = ["evaluate"]

FILE = click.Path(dir_okay=False, path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)
COUNT = click.IntRange(min=0)

TIMELESS: Mapping[str, object] = {"deadline": 0, "invokedDeadline": 0, "prefetch": False}
"""What is measured is what a model says, not how much of it there was time for: the same on every
machine. ``--set`` is stronger, the user's own settings are not."""


@click.group("eval")
def evaluate() -> None:
    """Measure quality."""


EXAMPLE = """\b
What a setting is worth, on a page:
  codegen-lsp eval replay . --out all.json
  codegen-lsp eval replay . --out bare.json --set contextSources=
  codegen-lsp eval replay . --out shy.json --set suggestions=quiet
  codegen-lsp eval replay --compare bare.json all.json --report page.html \\
      --ablation "no context=bare.json" --ablation quiet=shy.json
"""


@evaluate.command(epilog=EXAMPLE)
@click.argument("folders", metavar="[PATH]...", nargs=-1, type=FOLDER)
@click.option(
    "--corpus",
    "corpora",
    multiple=True,
    type=click.Choice(["fresh", "stdlib"]),
    help="Also packages first released in 2023 or later, or CPython's own library.",
)
@click.option("--points", type=COUNT, default=2000, show_default=True, help="Cursors in lines.")
@click.option("--blocks", type=COUNT, default=300, show_default=True, help="Bodies of functions.")
@click.option("--lines", type=COUNT, default=300, show_default=True, help="Lines typed by key.")
@click.option("--seed", type=int, default=0, show_default=True, help="Draws them.")
@click.option("--limit-packages", type=click.IntRange(min=1), help="Take so many fresh packages.")
@click.option("--cache", type=FOLDER, help="Where fetched packages are kept.")
@click.option("--set", "changes", metavar="KEY=VALUE", multiple=True, help="Change a setting.")
@click.option("--out", type=FILE, help="Write the run to this file.")
@click.option("--baseline", type=FILE, help="Compare with the run in this file.")
@click.option("--compare", "pair", nargs=2, type=FILE, metavar="A B", help="Only compare two runs.")
@click.option(
    "--calibrate", is_flag=True, help="Learn from this run which suggestions are worth showing."
)
@click.option("--report", type=FILE, help="Also write a page with plots to this file (HTML).")
@click.option(
    "--ablation",
    "ablations",
    metavar="NAME=RUN.json",
    multiple=True,
    help="Compare this run with the reported one, in the report; give it again for more.",
)
@state.model_options
@state.json_option
@state.debug_option
def replay(
    folders: tuple[Path, ...],
    corpora: tuple[str, ...],
    pair: tuple[Path, Path] | None,
    out: Path | None,
    baseline: Path | None,
    report: Path | None,
    ablations: tuple[str, ...],
    calibrate: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Hide code that people wrote, ask the server for it, and score the answers.

    Each PATH is a repository; it is copied, never changed. Nothing leaves this machine.
    --calibrate shows everything while it replays, and keeps what it learns for the servers that
    are started from then on.
    """
    from codegen_lsp.evaluation.replay.results import read_run, write_run

    others = _others(report, ablations)
    _require_writable(out, report)
    if pair is not None:
        _refuse_more(bool(folders or corpora or calibrate))
        before, run = read_run(pair[0]), read_run(pair[1])
        _show_comparison(before, run, as_json)
        _report(report, run, before, others)
        return
    if not folders and not corpora:
        raise UsageError("there is nothing to replay", mend="name a folder or --corpus fresh")
    earlier = None if baseline is None else read_run(baseline)
    if calibrate:
        _require_enough(given)
        given["changes"] += ("suggestions=eager",)
    compared = [("the baseline", earlier)] if earlier is not None else []
    run = _replay(folders, corpora, given, [*compared, *others])
    if out is not None:
        write_run(run, out)
    learned = _calibrate(run) if calibrate else None
    _show(run, earlier, as_json, learned)
    _report(report, run, earlier, others)


def _others(report: Path | None, ablations: Sequence[str]) -> list[tuple[str, Run]]:
    """What a report compares; read, like its libraries, before anything is measured."""
    from codegen_lsp.evaluation.replay.results import read_run

    if report is not None:
        from codegen_lsp.evaluation.replay.report import require_libraries

        require_libraries()
    elif ablations:
        raise UsageError("--ablation is only for a report", mend="add --report FILE")
    found = []
    for text in ablations:
        name, _, path = text.rpartition("=")
        if not name or not path:
            raise UsageError(f"'{text}' names no run", mend="write --ablation NAME=RUN.json")
        found.append((name, read_run(Path(path))))
    return found


def _report(
    path: Path | None, run: Run, baseline: Run | None, others: Sequence[tuple[str, Run]]
) -> None:
    from codegen_lsp.evaluation.replay.report import write_report

    if path is not None:
        write_report(run, path, baseline=baseline, others=others)


def _calibrate(run: Run) -> Mapping[str, object]:
    from codegen_lsp.cli.eval_calibrate import calibrate_from

    return calibrate_from(run)


def _show(
    run: Run, baseline: Run | None, as_json: bool, learned: Mapping[str, object] | None
) -> None:
    if baseline is not None:
        _show_comparison(baseline, run, as_json)
    elif as_json:
        state.print_json({**_shortened(run), "calibration": learned})
    else:
        _show_run(run)


def _refuse_more(more: bool) -> None:
    if more:
        raise UsageError(
            "--compare replays nothing", mend="leave out PATH, --corpus and --calibrate"
        )


def _require_writable(out: Path | None, report: Path | None) -> None:
    """Nothing is measured for hours that cannot be kept."""
    from codegen_lsp.evaluation.replay.files import require_writable

    if out is not None and report is not None and out.resolve() == report.resolve():
        raise UsageError("--out and --report name one file", mend="name two files")
    for path in (out, report):
        if path is not None:
            require_writable(path)


def _require_enough(given: Mapping[str, Any]) -> None:
    from codegen_lsp.evaluation.replay.calibrate import LEAST_POINTS

    if given["points"] + given["blocks"] < LEAST_POINTS:
        raise UsageError(
            "that is too little to calibrate with",
            mend=f"ask for {LEAST_POINTS} --points and more, not all of them are answered",
        )


def _replay(
    folders: Sequence[Path],
    corpora: Sequence[str],
    given: Mapping[str, Any],
    others: Sequence[tuple[str, Run]],
) -> Run:
    from codegen_lsp.evaluation.replay.run import Plan, replay

    settings = _settings(given)
    plan = Plan(given["points"], given["blocks"], given["lines"], given["seed"])
    with state.progress() as show:
        show("fetching packages")
        repositories = _repositories(folders, corpora, given)
        return replay(
            repositories,
            settings,
            plan,
            lambda what, done, total: show(f"{what}: {done} of {total}"),
            others,
        )


def _settings(given: Mapping[str, Any]) -> Settings:
    """The user's settings without a clock, changed as the command line says.

    :raises UsageError: a ``--set`` that is no setting.
    """
    from codegen_lsp.config.options import parse_options

    changes = dict(_change(text) for text in given["changes"])
    if complaints := parse_options(changes).complaints:
        raise UsageError(f"--set: {complaints[0]}", mend="see the settings in the README")
    flags = state.overrides(given["model"], given["device"], given["compute_type"])
    return state.settings_for(Path.cwd(), {**TIMELESS, **changes, **flags})


def _change(text: str) -> tuple[str, object]:
    """A setting and its value: JSON, a word, or words with commas for a setting that is a list."""
    from codegen_lsp.config.options import takes_list

    key, sign, raw = text.partition("=")
    if not sign:
        raise UsageError(f"'{text}' sets nothing", mend="write --set KEY=VALUE")
    try:
        value = json.loads(raw)
    except ValueError:
        value = raw
    if takes_list(key) and isinstance(value, str):
        value = [word for word in value.split(",") if word]
    return key, value


def _repositories(
    folders: Sequence[Path], corpora: Sequence[str], given: Mapping[str, Any]
) -> list[Repository]:
    from codegen_lsp.config.home import home
    from codegen_lsp.evaluation.replay import corpora as known

    taken = [known.STDLIB, *(package.name for package in known.load_packages())]
    found: list[Repository] = []
    if len({folder.resolve() for folder in folders}) < len(folders):
        raise UsageError("a folder is named twice", mend="name every folder once")
    for folder in folders:
        found.append(known.own(folder, [*taken, *(one.name for one in found)]))
    if "stdlib" in corpora:
        found.append(known.stdlib())
    if "fresh" in corpora:
        cache = given["cache"] or home() / "replay"
        found += known.fresh(cache, given["limit_packages"])
    return found


def _shortened(run: Run) -> dict[str, Any]:
    """A run without its single answers."""
    import msgspec

    whole = msgspec.to_builtins(run)
    return {key: value for key, value in whole.items() if key not in ("points", "typing")}


def _show_run(run: Run) -> None:
    from codegen_lsp.cli.eval_tables import show_run

    show_run(run)


def _show_comparison(run_a: Run, run_b: Run, as_json: bool) -> None:
    from codegen_lsp.evaluation.replay.bootstrap import compare

    comparison = compare(run_a, run_b)
    if as_json:
        import dataclasses

        state.print_json(dataclasses.asdict(comparison))
        return
    from codegen_lsp.cli.eval_tables import show_comparison

    show_comparison(comparison)

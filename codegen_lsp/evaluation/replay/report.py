"""The report of a replay: one HTML file that needs nothing else.

Knows what stands in which order and where it is written. Numbers in tables come from
:mod:`.report_tables`, plots from ``report_quality``,
``report_latency`` and ``report_forest``, words from :mod:`.report_words`; the page
itself is ``report.html.jinja`` with ``report.css``. The same runs give the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path, PurePath
from typing import Any, Final

import msgspec

from codegen_lsp.config.settings import Settings
from codegen_lsp.errors import UsageError
from codegen_lsp.evaluation.replay import report_tables as tables
from codegen_lsp.evaluation.replay.bootstrap import Comparison, compare
from codegen_lsp.evaluation.replay.files import write_whole
from codegen_lsp.evaluation.replay.report_examples import examples_of
from codegen_lsp.evaluation.replay.report_forest import ablation_forests, difference_forests
from codegen_lsp.evaluation.replay.report_latency import latency_by_question, latency_by_source
from codegen_lsp.evaluation.replay.report_quality import (
    acceptance,
    calibration,
    quality_by_kind,
    quality_by_repository,
)
from codegen_lsp.evaluation.replay.report_svg import PALETTE, Plot
from codegen_lsp.evaluation.replay.report_words import MEASURES, duration
from codegen_lsp.evaluation.replay.results import Run

__all__ = ["require_libraries", "write_report"]

LIBRARIES: Final = ("jinja2", "matplotlib")
TEMPLATE: Final = "report.html.jinja"


def require_libraries() -> None:
    """Ask before something is measured for hours that cannot be reported.

    :raises UsageError: a library is not installed.
    """
    missing = [name for name in LIBRARIES if find_spec(name) is None]
    if missing:
        raise UsageError(
            f"a report needs {' and '.join(missing)}", mend="pip install 'codegen-lsp[eval]'"
        )


def write_report(
    run: Run,
    path: Path,
    *,
    baseline: Run | None = None,
    others: Sequence[tuple[str, Run]] = (),
    examples: bool = True,
) -> None:
    """Write *run* as a page for people.

    It is compared with *baseline*, and each of *others* (a name and a run) with it. *examples*
    puts some of the hidden code into the file.

    :raises UsageError: a library is not installed, or two of the runs cannot be compared.
    :raises DocumentError: the file cannot be written.
    """
    require_libraries()
    comparison = None if baseline is None else _compared("the baseline", baseline, run)
    compared = [(name, _compared(name, run, other)) for name, other in others]
    page = _render(
        {
            **_head(run, baseline),
            "palette": PALETTE,
            "measures": MEASURES,
            "key_figures": tables.key_figures(run, comparison),
            "by_kind": tables.by_kind(run),
            "by_repository": tables.by_repository(run),
            "latencies": tables.latencies(run),
            "differences": None if comparison is None else tables.differences(comparison),
            "ablations": tables.ablations(compared) if compared else None,
            "resampling": None if comparison is None else tables.resampling(comparison),
            "plots": _plots(run, baseline, comparison, compared),
            "examples": examples_of(run) if examples else [],
        }
    )
    # The name of a model's folder may hold what is no character.
    write_whole(path, page.encode("utf-8", "replace"))


def _compared(name: str, run_a: Run, run_b: Run) -> Comparison:
    try:
        return compare(run_a, run_b)
    except UsageError as error:
        raise UsageError(f"{name}: {error.message}", mend=error.mend) from error


def _head(run: Run, baseline: Run | None) -> dict[str, Any]:
    """What was run, on what, how."""
    model = PurePath(str(run.settings.get("model", "?"))).name
    return {
        "model": "the bundled model" if model == "bundled" else model,
        "run": run,
        "duration": duration(run.seconds),
        "changed": _changed(run.settings, msgspec.json.decode(msgspec.json.encode(Settings()))),
        "against": None if baseline is None else _changed(baseline.settings, run.settings),
        "baseline": baseline,
    }


def _changed(settings: Mapping[str, object], usual: Mapping[str, object]) -> dict[str, str]:
    """Settings that are not as usual, by name, as they are written."""
    return {
        name: _written(value) for name, value in settings.items() if value != usual.get(name, value)
    }


def _written(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _plots(
    run: Run,
    baseline: Run | None,
    comparison: Comparison | None,
    compared: Sequence[tuple[str, Comparison]],
) -> dict[str, list[Plot]]:
    """By the section they stand in."""
    found: dict[str, Sequence[Plot | None]] = {
        "quality": [quality_by_kind(run, baseline), quality_by_repository(run, baseline)],
        "accepted": [acceptance(run), calibration(run)],
        "differences": [] if comparison is None else difference_forests(comparison),
        "ablations": ablation_forests(compared),
        "latency": [latency_by_question(run), latency_by_source(run)],
    }
    return {name: [plot for plot in plots if plot is not None] for name, plots in found.items()}


def _render(values: Mapping[str, Any]) -> str:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("codegen_lsp.evaluation.replay", ""),
        autoescape=True,  # code in a report must not become HTML
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(TEMPLATE).render(values)

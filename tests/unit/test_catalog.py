"""The catalog: sizes against published counts, names in every spelling, and nothing half said."""

from __future__ import annotations

import re
from typing import get_args, get_type_hints

import pytest

from codegen_lsp.models.catalog import CATALOG, Entry, find_entry, suggestions
from codegen_lsp.models.dimensions import matrices, parameters, vector_weights
from codegen_lsp.models.staging import check_name
from codegen_lsp.prompts.families import FAMILIES
from codegen_lsp.syntax.languages import EXTENSIONS, SYNTAXES

FIELD: dict[str, int] = {
    "CodeGen1": 12,
    "CodeGen2": 4,
    "CodeGen2.5": 3,
    "SantaCoder": 1,
    "StarCoder": 5,
    "CodeT5+": 2,
    "CodeGeeX2": 1,
}
"""How many models of each series there are."""

EXACT: dict[str, int] = {
    "codegen-350M-mono": 356_712_448,
    "codegen-2B-multi": 2_779_356_160,
    "codegen-6B-nl": 7_064_213_504,
    "codegen-16B-mono": 16_032_155_648,
    "codegeex2-6b": 6_243_584_000,
}
"""Numbers of weights as published."""

NEAR: dict[str, float] = {
    "codegen2-1B": 1.0e9,
    "codegen2-3_7B": 3.7e9,
    "codegen2-7B": 7e9,
    "codegen2-16B": 16e9,
    "codegen25-7b-multi": 6.9e9,
    "santacoder": 1.1e9,
    "starcoderbase-1b": 1.14e9,
    "starcoderbase-3b": 3.0e9,
    "starcoderbase-7b": 7.3e9,
    "starcoderbase": 15.5e9,
    "starcoder": 15.5e9,
    "codet5p-220m": 223e6,
    "codet5p-770m": 738e6,
}
"""Numbers of weights as they are rounded in names and papers."""


def test_the_field_is_complete() -> None:
    """Every model of each series, each once."""
    series = [entry.series for entry in CATALOG.values()]
    assert {name: series.count(name) for name in dict.fromkeys(series)} == FIELD
    assert len({entry.hub_id for entry in CATALOG.values()}) == len(CATALOG)


@pytest.mark.parametrize("name", EXACT)
def test_weights_are_counted_to_the_last_one(name: str) -> None:
    """From layers and widths, padding included."""
    assert CATALOG[name].parameters == EXACT[name]


@pytest.mark.parametrize("name", NEAR)
def test_weights_are_as_many_as_names_say(name: str) -> None:
    """Within 2.5 % of the rounded number."""
    assert CATALOG[name].parameters == pytest.approx(NEAR[name], rel=0.025)


def test_every_row_is_counted() -> None:
    """The tables above leave none out but those of the same shape."""
    told = {CATALOG[name].shape for name in (*EXACT, *NEAR)}
    assert {entry.shape for entry in CATALOG.values()} == told


@pytest.mark.parametrize("entry", CATALOG.values(), ids=lambda entry: entry.name)
def test_a_row_is_whole(entry: Entry) -> None:
    """Names that can be installed, known languages and families, shapes that add up."""
    assert check_name(entry.name) == entry.name
    assert re.fullmatch(r"[A-Za-z0-9]+/[A-Za-z0-9._-]+", entry.hub_id)
    assert entry.architecture in get_args(get_type_hints(Entry)["architecture"])
    assert entry.licence
    assert entry.verified
    assert entry.tokenizer
    assert set(entry.languages) <= {*SYNTAXES, *EXTENSIONS.values(), "julia", "perl", "vue"}
    assert list(entry.languages) == sorted(set(entry.languages))
    shape = entry.shape
    assert parameters(shape) == sum(r * c for r, c in matrices(shape)) + vector_weights(shape)
    assert shape.inner == shape.width
    assert shape.rotary <= shape.head_size
    assert shape.heads % shape.kv_heads == 0
    assert not shape.positions or shape.positions == entry.context_length


@pytest.mark.parametrize("entry", CATALOG.values(), ids=lambda entry: entry.name)
def test_a_family_is_one_that_prompts_know(entry: Entry) -> None:
    """What runs here can be prompted here."""
    assert entry.family in FAMILIES


def test_how_query_key_and_value_are_stored() -> None:
    """In 8 slices for CodeGen2's smaller two, in 4 for all other CodeGens."""
    parts = {e.name: e.shape.parts for e in CATALOG.values() if e.shape.model_type == "codegen"}
    assert {name for name, number in parts.items() if number == 8} == {
        "codegen2-1B",
        "codegen2-3_7B",
    }
    assert set(parts.values()) == {4, 8}


def test_what_may_be_done_with_a_model() -> None:
    """Gated, research only, remote only: each says so."""
    assert {e.series for e in CATALOG.values() if e.gated} == {"StarCoder"}
    assert {e.name for e in CATALOG.values() if e.remote_only} == {"codegeex2-6b"}
    assert "team's server" in CATALOG["codegeex2-6b"].remote_only
    assert "research" in CATALOG["codegen25-7b-instruct"].licence
    assert {e.licence for e in CATALOG.values() if e.series == "CodeGen1"} == {"BSD-3-Clause"}


def test_who_can_fill_in() -> None:
    """All but CodeGen1 (and what runs elsewhere) know what follows the cursor."""
    assert {e.series for e in CATALOG.values() if not e.infill} == {"CodeGen1", "CodeGeeX2"}


@pytest.mark.parametrize("entry", CATALOG.values(), ids=lambda entry: entry.name)
def test_each_spelling_finds_its_row(entry: Entry) -> None:
    """Name, today's id, former ones, in any case."""
    for spelling in (entry.name, entry.hub_id, *entry.formerly):
        assert find_entry(spelling) is entry
        assert find_entry(f" {spelling.upper()} ") is entry


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("Salesforce/codegen2-1B", "codegen2-1B"),
        ("Salesforce/codegen2-1B_P", "codegen2-1B"),
        ("codegen2-3.7B", "codegen2-3_7B"),
        ("Salesforce/codegen25-7b-mono", "codegen25-7b-mono"),
        ("bigcode/gpt_bigcode-santacoder", "santacoder"),
        ("starcoderbase-15b", "starcoderbase"),
    ],
)
def test_former_names(spelling: str, name: str) -> None:
    """What models were called before is found."""
    entry = find_entry(spelling)
    assert entry is not None
    assert entry.name == name


@pytest.mark.parametrize(
    "name", ["", " ", "codegen", "Salesforce/", "/", "gpt2", "codegen-350M-mono/"]
)
def test_what_is_not_in_the_catalog(name: str) -> None:
    """Nothing is found by half a name."""
    assert find_entry(name) is None


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("codegen-350M-mon", "codegen-350M-mono"),
        ("Salesforce/codegen-2b-mutli", "codegen-2B-multi"),
        ("codegen2-3.7", "codegen2-3_7B"),
        ("starcodr", "starcoder"),
        ("codet5p-220", "codet5p-220m"),
    ],
)
def test_what_may_have_been_meant(name: str, first: str) -> None:
    """The nearest name comes first; no more than three, each once."""
    found = suggestions(name)
    assert found[0] == first
    assert len(found) <= 3
    assert len(set(found)) == len(found)


@pytest.mark.parametrize("name", ["", "qqqq", "meta-llama/Llama-3-8B"])
def test_nothing_near(name: str) -> None:
    """Nothing is suggested where nothing is near."""
    assert suggestions(name) == []

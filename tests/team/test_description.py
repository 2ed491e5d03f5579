"""What the server says of itself is true, and nothing that it allows or forbids makes it fail."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.support.team import TeamServer

schemathesis: Any = pytest.importorskip("schemathesis", reason="schemathesis is not installed")

EXAMPLES = 150
"""Of requests for completions: a quarter of a minute."""


ROUTES = ("/v1/completions", "/v1/models", "/health", "/metrics", "/status", "/openapi.json")


@pytest.mark.parametrize("path", ROUTES)
def test_nothing_makes_it_fail(server: TeamServer, path: str) -> None:
    """No 5xx, no status and no body but those described, whatever is sent."""
    # What a prompt, n and max_tokens come to together, no schema can say.
    from schemathesis.specs.openapi.checks import positive_data_acceptance

    schema = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    method = "POST" if path == "/v1/completions" else "GET"
    modes = list(schemathesis.GenerationMode)
    wild = st.one_of([schema[path][method].as_strategy(generation_mode=mode) for mode in modes])

    @settings(
        max_examples=EXAMPLES if method == "POST" else 5,
        deadline=None,
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
        database=None,
        derandomize=True,
    )
    @given(case=wild)
    def check(case: Any) -> None:
        if isinstance(case.body, dict) and 64 < _number(case.body.get("max_tokens")) <= 1 << 20:
            case.body["max_tokens"] = min(case.body["max_tokens"], 64)  # not to wait for all of it
        case.call_and_validate(timeout=60, excluded_checks=[positive_data_acceptance])

    check()


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0


def test_every_route_is_described(server: TeamServer) -> None:
    """And every field that a request may have."""
    found = httpx.get(f"{server.url}/openapi.json").json()
    assert set(found["paths"]) == set(ROUTES)
    fields = found["components"]["schemas"]["Body"]["properties"]
    assert {"prompt", "suffix", "stream", "n", "stop", "echo", "logprobs", "seed"} <= set(fields)

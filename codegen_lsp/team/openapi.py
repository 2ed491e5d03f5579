"""What the server says about itself at ``/openapi.json``.

The request's schema is made from the struct that judges requests, so that the two cannot differ;
``tests/team`` has schemathesis hold the rest against what is answered.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from codegen_lsp import __version__
from codegen_lsp.team.requests import MOST_CHOICES, Body

__all__ = ["describe"]

_REFERENCE: Final = "#/components/schemas/"

_IDS: Final = {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 1}

_PROMPT: Final = {
    "description": "Text, token ids, or several of either.",
    "anyOf": [
        {"type": "string"},
        _IDS,
        {
            "type": "array",
            "items": {"type": "string"},
            "minItems": 1,
            "maxItems": MOST_CHOICES,
        },
        {"type": "array", "items": _IDS, "minItems": 1, "maxItems": MOST_CHOICES},
        {"type": "null"},
    ],
}

_REASONS: Final = {
    400: "Something in the request makes no sense, is not offered, or does not fit.",
    401: "There is no key, or it is not known.",
    404: "There is no such model.",
    408: "The body did not come in time.",
    413: "The body is too large.",
    429: "Too many requests; the header Retry-After says when to come again.",
    503: "The model failed or the server closes.",
}


def _object(required: str = "", **properties: object) -> dict[str, Any]:
    names = required.split() or list(properties)
    return {"type": "object", "properties": properties, "required": names}


def _array(items: object) -> dict[str, object]:
    return {"type": "array", "items": items}


_TEXT: Final = {"type": "string"}
_COUNT: Final = {"type": "integer", "minimum": 0}
_NUMBER: Final = {"type": ["number", "null"]}

_ERROR: Final = _object(
    error=_object(
        message=_TEXT,
        type=_TEXT,
        param={"type": ["string", "null"]},
        code={"type": ["string", "null"]},
    )
)

_LOGPROBS: Final = {
    "type": ["object", "null"],
    "properties": {
        "tokens": _array(_TEXT),
        "token_logprobs": _array(_NUMBER),
        "top_logprobs": _array(
            {"type": ["object", "null"], "additionalProperties": {"type": "number"}}
        ),
        "text_offset": _array(_COUNT),
    },
    "required": ["tokens", "token_logprobs", "top_logprobs", "text_offset"],
}

_COMPLETION: Final = _object(
    id=_TEXT,
    object={"const": "text_completion"},
    created=_COUNT,
    model=_TEXT,
    choices=_array(
        _object(
            "index text logprobs finish_reason",
            index=_COUNT,
            text=_TEXT,
            logprobs=_LOGPROBS,
            finish_reason={"enum": ["stop", "length"]},
            token_ids=_array(_COUNT),
        )
    ),
    usage=_object(prompt_tokens=_COUNT, completion_tokens=_COUNT, total_tokens=_COUNT),
)

_EVENT: Final = _object(
    data={
        "description": "A completion's part, an error, or [DONE].",
        "type": "string",
        "contentMediaType": "application/json",
    }
)

_MODELS: Final = _object(
    object={"const": "list"},
    data=_array(
        _object(
            id=_TEXT,
            object={"const": "model"},
            created=_COUNT,
            owned_by=_TEXT,
            max_model_len=_COUNT,
            family=_TEXT,
            infill={"type": "boolean"},
        )
    ),
)


def describe(*, guarded: bool) -> dict[str, object]:
    """The description, OpenAPI 3.1; *guarded*: keys are needed."""
    _, components = msgspec.json.schema_components([Body], ref_template=_REFERENCE + "{name}")
    components["Body"]["properties"]["prompt"] = _PROMPT
    return {
        "openapi": "3.1.0",
        "info": {"title": "codegen-lsp team", "version": __version__},
        "components": {
            "schemas": components | {"Completion": _COMPLETION, "Models": _MODELS, "Error": _ERROR},
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer"},
                "password": {"type": "http", "scheme": "basic"},
            },
        },
        "paths": _paths() if guarded else _without(_paths(), "security"),
    }


def _paths() -> dict[str, Any]:
    return {
        "/v1/completions": {"post": _completions()},
        "/v1/models": {"get": _get("Models served here.", _json("Models"), (401,))},
        "/health": {"get": _get("Whether it is there.", _json_of(_object(status=_TEXT)))},
        "/metrics": {"get": _get("For Prometheus.", _content("text/plain", _TEXT), (401,))},
        "/status": {"get": _get("For people.", _content("text/html", _TEXT), (401,))},
        "/openapi.json": {"get": _get("This description.", _json_of({"type": "object"}))},
    }


def _without(paths: Mapping[str, Any], name: str) -> dict[str, Any]:
    """*paths* whose operations lack *name*."""
    return {
        path: {
            method: {key: value for key, value in operation.items() if key != name}
            for method, operation in methods.items()
        }
        for path, methods in paths.items()
    }


def _completions() -> dict[str, object]:
    answer = {
        "description": "The answer, or with stream its parts as server-sent events.",
        "content": {
            "application/json": {"schema": {"$ref": _REFERENCE + "Completion"}},
            "text/event-stream": {"schema": _EVENT},
        },
    }
    return {
        "summary": "Continue a text, or fill in between two.",
        "security": [{"key": []}],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"$ref": _REFERENCE + "Body"}}},
        },
        "responses": {"200": answer} | _errors(_REASONS),
    }


def _get(summary: str, answer: object, errors: Iterable[int] = ()) -> dict[str, object]:
    found: dict[str, object] = {"summary": summary, "responses": {"200": answer} | _errors(errors)}
    return found | ({"security": [{"key": []}, {"password": []}]} if errors else {})


def _errors(statuses: Iterable[int]) -> dict[str, object]:
    return {
        str(status): {
            "description": _REASONS[status],
            "content": {"application/json": {"schema": {"$ref": _REFERENCE + "Error"}}},
        }
        for status in statuses
    }


def _json(name: str) -> dict[str, object]:
    return _json_of({"$ref": _REFERENCE + name})


def _json_of(schema: object) -> dict[str, object]:
    return _content("application/json", schema)


def _content(kind: str, schema: object) -> dict[str, object]:
    return {"description": "It.", "content": {kind: {"schema": schema}}}

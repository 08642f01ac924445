"""Complete /openapi.json with what callers need to know.

Adds how to sign in, which errors there are, for each field its meaning, unit and an example
(glossary.yaml), and for each body an example that works (request_examples.yaml).
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import yaml
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from tollgate.core.callers.credentials import AUTHORIZATION, KEY_HEADERS

_OPEN = ("/health", "/docs", "/metrics")
_ERRORS = {
    "400": (
        "The body or the query cannot be served; the message names the field and what would be"
        " right."
    ),
    "401": "No key, or one that may not do this.",
    "403": "The key may not read this.",
    "404": "What the request names does not exist.",
    "409": "Somebody else has changed or uses it.",
    "413": "The body is longer than a mebibyte.",
    "503": "The store does not answer; retry-after says when to try again.",
}
_ERROR = {
    "type": "object",
    "description": "Every fault, in LiteLLM's shape.",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "description": "What went wrong.",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {
                    "type": "string",
                    "description": "A sentence.",
                    "examples": ["No keys found"],
                },
                "type": {
                    "type": "string",
                    "description": "Its kind.",
                    "examples": ["not_found_error"],
                },
                "param": {
                    "type": ["string", "null"],
                    "description": "The field or parameter, where there is one.",
                    "examples": ["max_budget"],
                },
                "code": {
                    "type": "string",
                    "description": "The HTTP status, as text.",
                    "examples": ["404"],
                },
            },
        }
    },
}
_REFERENCE = {"$ref": "#/components/schemas/Error"}


def complete(api: FastAPI) -> None:
    """Make the application describe itself this way; built on the first request and kept."""
    made: dict[str, Any] = {}

    def openapi() -> dict[str, Any]:
        if not made:
            made.update(_described(api))
        return made

    api.openapi = openapi  # type: ignore[method-assign] # FastAPI's documented way


def _described(api: FastAPI) -> dict[str, Any]:
    document = get_openapi(
        title=api.title, version=api.version, description=api.description, routes=api.routes
    )
    glossary, bodies = _table("glossary.yaml"), _table("request_examples.yaml")
    components = document["components"]
    for unused in ("HTTPValidationError", "ValidationError"):
        components["schemas"].pop(unused, None)
    for model, schema in components["schemas"].items():
        for name, field in schema.get("properties", {}).items():
            _explain(field, glossary.get(f"{model}.{name}", glossary.get(name)))
    for method, path, operation in _operations(document):
        if f"{method} {path}" in bodies:
            (content,) = operation["requestBody"]["content"].values()
            content["example"] = bodies[f"{method} {path}"]
        for parameter in operation.get("parameters", ()):
            name = parameter["name"]
            _explain(parameter, glossary.get(f"?{name}", glossary.get(name)))
        _add_errors(path, operation)
    components["schemas"]["Error"] = _ERROR
    components["securitySchemes"] = {
        "bearer": {
            "type": "http",
            "scheme": "bearer",
            "description": (
                "The master key, or the key of a user whose role is proxy_admin; any key may read"
                " about itself."
            ),
        },
        **{
            name: {
                "type": "apiKey",
                "in": "header",
                "name": name,
                "description": "The same, in this header.",
            }
            for name in KEY_HEADERS
            if name != AUTHORIZATION
        },
    }
    document["security"] = [{name: []} for name in components["securitySchemes"]]
    return document


def _table(name: str) -> dict[str, Any]:
    text = files("tollgate.adapters.http_api").joinpath(name).read_text(encoding="utf-8")
    table: dict[str, Any] = yaml.safe_load(text)
    return table


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


def _explain(field: dict[str, Any], entry: list[Any] | None) -> None:
    if entry is None:
        return
    description, example = entry
    field.setdefault("description", description)
    if "in" in field:
        field.setdefault("example", example)
    else:
        field.setdefault("examples", [example])


def _add_errors(path: str, operation: dict[str, Any]) -> None:
    operation["responses"].pop("422", None)
    if path.startswith(_OPEN):
        operation["security"] = []
    for status, description in _ERRORS.items():
        content = {"application/json": {"schema": _REFERENCE}}
        operation["responses"].setdefault(status, {"description": description, "content": content})

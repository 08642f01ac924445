"""Read what a LiteLLM server did with calls, to compare it with what Tollgate decides."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tollgate.import_litellm.source import LitellmServer


@dataclass(slots=True)
class Outcomes:
    """What became of the calls of a key for a model: how many there were, how many were refused by
    the gateway, and what they cost.
    """

    calls: int = 0
    refused: int = 0
    dollars: float = 0.0


KeyAndModel = tuple[str, str]
"""The hash of a key, and the public name of a model."""


def read_outcomes(server: LitellmServer, since: datetime) -> dict[KeyAndModel, Outcomes]:
    """Return what LiteLLM did with the calls since a time. Raises SettingsError."""
    found: dict[KeyAndModel, Outcomes] = {}
    for row in _rows_since(server, since):
        outcomes = found.setdefault(_name_of(row), Outcomes())
        outcomes.calls += 1
        outcomes.refused += _is_refused(row)
        outcomes.dollars += float(row.get("spend") or 0)
    return found


def _rows_since(server: LitellmServer, since: datetime) -> Iterator[Mapping[str, Any]]:
    shown = "%Y-%m-%d %H:%M:%S"
    query = {
        "start_date": since.astimezone(UTC).strftime(shown),
        "end_date": datetime.now(UTC).strftime(shown),
    }
    yield from server.logs(query)


def _name_of(row: Mapping[str, Any]) -> KeyAndModel:
    return str(row.get("api_key") or ""), str(row.get("model_group") or row.get("model") or "")


def _is_refused(row: Mapping[str, Any]) -> bool:
    """Return whether LiteLLM itself refused a call: errors of providers name the provider."""
    if row.get("status") != "failure":
        return False
    metadata = row.get("metadata")
    if isinstance(metadata, str):
        metadata = json.loads(metadata or "{}")
    error = (metadata or {}).get("error_information") or {}
    return not error.get("llm_provider")

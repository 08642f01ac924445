"""Take one LiteLLM row apart: fields that are carried, without meaning, or lost and reported."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tollgate.core.limits.bucket import MAX_LIMIT
from tollgate.core.money.dollars import MAX_DOLLARS

Row = Mapping[str, Any]

_COUNTS = ("tpm_limit", "rpm_limit", "tpd_limit", "max_parallel_requests")
_OBJECTS = (
    "metadata",
    "aliases",
    "config",
    "permissions",
    "model_max_budget",
    "model_spend",
    "model_aliases",
)
# LiteLLM stores these within `metadata` and acts on them there.
_ACTED_ON = frozenset(
    [
        "allowed_passthrough_routes",
        "allowed_vector_store_indexes",
        "denied_passthrough_routes",
        "enforced_params",
        "guardrails",
        "max_budget_per_session",
        "max_iterations",
        "mcp_rpm_limit",
        "policies",
        "prompts",
        "tag_rpm_limit",
        "tags",
        "temp_budget_expiry",
        "temp_budget_increase",
        "throttle_on_budget_exceeded",
    ]
)


@dataclass(frozen=True, slots=True)
class Lost:
    """A field that does not survive the import."""

    kind: str
    id: str
    field: str
    reason: str


class RowReader:
    """Reads the fields of one row and tracks which were read; the unread ones are lost."""

    def __init__(self, kind: str, identity: str, row: Row) -> None:
        self.lost: list[Lost] = []
        self._kind = kind
        self._identity = identity
        self._row = {name: _plain(name, value) for name, value in row.items()}
        self._read: set[str] = set()

    def get(self, name: str) -> Any:
        """Return a field, or None."""
        self._read.add(name)
        return self._row.get(name)

    def lose(self, field: str, reason: str) -> None:
        """Record that a field is not carried."""
        self.lost.append(Lost(self._kind, self._identity, field, reason))

    def carried(self, names: Iterable[str]) -> dict[str, Any]:
        """Return those of the given fields that are set and can be counted."""
        found: dict[str, Any] = {}
        for name in names:
            value = self.get(name)
            if not _says_nothing(value) and self._is_countable(name, value):
                found[name] = value
        return found

    def metadata(self) -> dict[str, Any]:
        """Return `metadata`, with the limits for models that LiteLLM keeps in it
        as separate fields.
        """
        whole = self.get("metadata")
        if not isinstance(whole, dict) or not whole:
            return {}
        limits = {
            name: whole[name]
            for name in ("model_rpm_limit", "model_tpm_limit")
            if isinstance(whole.get(name), dict)
        }
        for name in sorted(_ACTED_ON & whole.keys()):
            if not _says_nothing(whole[name]):
                self.lose(f"metadata.{name}", "kept as text, but not acted on")
        rest = {name: value for name, value in whole.items() if name not in limits}
        return {
            **{name: value for name, value in limits.items() if value},
            **({"metadata": rest} if rest else {}),
        }

    def spend(self) -> dict[str, Any]:
        """Return what was spent, in all and of each model that has a budget of its own.

        The spend of another model is in the whole; that it is not told apart here is recorded.
        """
        found = self.carried(("spend", "model_spend", "model_max_budget"))
        by_model, budgets = found.get("model_spend"), found.get("model_max_budget")
        if not isinstance(by_model, dict):
            return found
        own = set(budgets) if isinstance(budgets, dict) else set()
        kept = {model: each for model, each in by_model.items() if model in own}
        if others := [model for model, each in by_model.items() if each and model not in own]:
            self.lose(
                "model_spend",
                f"{', '.join(map(str, others))}: no budget of its own, so only in the whole spend",
            )
        del found["model_spend"]
        return {**found, "model_spend": kept} if kept else found

    def finish(self, told: Sequence[str]) -> list[Lost]:
        """Return what is lost.

        `told`: fields, or prefixes with a star, that only repeat what is known otherwise.
        """
        for name, value in self._row.items():
            silent = any(
                name == each or (each.endswith("*") and name.startswith(each[:-1])) for each in told
            )
            if name not in self._read and not silent and not _says_nothing(value):
                self.lose(name, "not served by Tollgate")
        return self.lost

    def _is_countable(self, name: str, value: Any) -> bool:
        if name in _COUNTS and isinstance(value, int | float) and value > MAX_LIMIT:
            self.lose(name, f"{value} is more than can be counted ({MAX_LIMIT}), so no limit")
            return False
        if (
            name in ("max_budget", "max_budget_in_team")
            and isinstance(value, int | float)
            and value > MAX_DOLLARS
        ):
            self.lose(name, f"{value} is more than can be counted (${MAX_DOLLARS}), so no limit")
            return False
        if name == "spend" and isinstance(value, int | float) and value < 0:
            self.lose(name, f"{value} is less than nothing")
            return False
        return True


def _plain(name: str, value: Any) -> Any:
    """Return a value by its type: LiteLLM stores some objects as JSON text."""
    if name in _OBJECTS and isinstance(value, str):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def _says_nothing(value: Any) -> bool:
    """Return whether a value is null or empty.

    0 is a limit; false is the default of most flags.
    """
    return value is None or value is False or value in ("", [], {})

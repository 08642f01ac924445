"""One row of LiteLLM's, taken apart: what is carried, what says nothing, and what is lost and must
be told.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tollgate.core.limits.bucket import MAX_LIMIT
from tollgate.core.money.dollars import MAX_DOLLARS

Row = Mapping[str, Any]

_COUNTS = ("tpm_limit", "rpm_limit", "max_parallel_requests")
_OBJECTS = (
    "metadata",
    "aliases",
    "config",
    "permissions",
    "model_max_budget",
    "model_spend",
    "model_aliases",
)
# Stored within `metadata` by LiteLLM, and acted on by it there.
_ACTED_ON = frozenset(
    [
        "enforced_params",
        "guardrails",
        "mcp_rpm_limit",
        "policies",
        "prompts",
        "tag_rpm_limit",
        "tags",
        "temp_budget_expiry",
        "temp_budget_increase",
    ]
)


@dataclass(frozen=True, slots=True)
class Lost:
    """Something that an entity had and has not any more."""

    kind: str
    id: str
    field: str
    reason: str


class RowReader:
    """Reads the fields of one row, and remembers which were read: those that are left say something
    that is lost.
    """

    def __init__(self, kind: str, identity: str, row: Row) -> None:
        self.lost: list[Lost] = []
        self._kind = kind
        self._identity = identity
        self._row = {name: _plain(name, value) for name, value in row.items()}
        self._read: set[str] = set()

    def get(self, name: str) -> Any:
        """A field, or None."""
        self._read.add(name)
        return self._row.get(name)

    def lose(self, field: str, reason: str) -> None:
        """Remember that a field is not carried."""
        self.lost.append(Lost(self._kind, self._identity, field, reason))

    def carried(self, names: Iterable[str]) -> dict[str, Any]:
        """Those of some fields that say something and can be counted."""
        found: dict[str, Any] = {}
        for name in names:
            value = self.get(name)
            if not _says_nothing(value) and self._is_countable(name, value):
                found[name] = value
        return found

    def metadata(self) -> dict[str, Any]:
        """`metadata`, and the limits for models that LiteLLM keeps in it as fields of their own."""
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

    def finish(self, told: Sequence[str]) -> list[Lost]:
        """What is lost.

        `told`: fields, or beginnings of fields with a star, that only tell what is known otherwise.
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
    """A value as its type says: LiteLLM stores some objects as JSON text."""
    if name in _OBJECTS and isinstance(value, str):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def _says_nothing(value: Any) -> bool:
    """Null, and what is empty. 0 is a limit, false is what most flags are by default."""
    return value is None or value is False or value in ("", [], {})

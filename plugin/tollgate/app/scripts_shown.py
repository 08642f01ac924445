"""The scripts that the store runs, for people to read."""

from __future__ import annotations

from tollgate.adapters.valkey.counters.scripts import OPERATIONS, rendered
from tollgate.core.errors import SettingsError


def shown_script(operation: str) -> str:
    """Return an operation's script with its constants in place.

    Raises SettingsError when there is no such operation.
    """
    if operation not in OPERATIONS:
        raise SettingsError(f"{operation!r} is no script; right is one of {', '.join(OPERATIONS)}")
    return rendered(operation)

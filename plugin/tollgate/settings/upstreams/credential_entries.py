"""`credential_list`: values that entries of `model_list` take by a name.

https://docs.litellm.ai/docs/proxy/ui_credentials
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tollgate.core.errors import cut
from tollgate.settings.sections import Faults

Credentials = Mapping[str, Mapping[str, Any]]
"""Parameters of a deployment, by the credential's name."""


def read_credentials(given: object, faults: Faults) -> dict[str, dict[str, Any]]:
    """Return the values of each credential. An entry that cannot be read is a fault."""
    if given is None:
        return {}
    if not isinstance(given, list):
        faults.add("credential_list", f"must be a list (got {cut(repr(type(given).__name__))})")
        return {}
    found: dict[str, dict[str, Any]] = {}
    for number, each in enumerate(given):
        name = each.get("credential_name") if isinstance(each, dict) else None
        values = each.get("credential_values") if isinstance(each, dict) else None
        if not isinstance(name, str) or not isinstance(values, dict | None):
            faults.add(
                f"credential_list.{number}", "must have credential_name and credential_values"
            )
            continue
        found[name] = values or {}
    return found

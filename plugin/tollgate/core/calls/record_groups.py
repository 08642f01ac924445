"""Which groups the record of a call belongs to, and filters by them: none of a kind, or others
than some.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType

from tollgate.core.calls.records import Record, organization_of_record, scope_ids
from tollgate.core.calls.refusal_records import RefusalRecord
from tollgate.core.limits.accounts import DEFAULT_ORGANIZATION

_SEVERAL = frozenset({"tag"})
"""Kinds that a record may have several of: without any it is in no group, not in that of ''."""


def group_names(record: Record | RefusalRecord, kind: str, organization: str) -> Sequence[str]:
    """Return the names of a record's groups of a kind; '' for a record that has none.

    `kind`: a kind of payer, or `organization`, `model`, `deployment`, `status`. `organization`: the
    one that the record is counted for. A refused request has no deployment.
    """
    match kind:
        case "organization":
            return (organization,)
        case "model":
            return (record.model,)
        case "deployment":
            return (record.deployment if isinstance(record, Record) else "",)
        case "status":
            return (str(record.status),)
    found = scope_ids(record.scopes, kind)
    return found if found or kind in _SEVERAL else ("",)


def in_groups(
    record: Record | RefusalRecord, without: Sequence[str], outside: tuple[str, ...]
) -> bool:
    """Return whether a record fits both filters.

    `without`: kinds that it must not belong to. `outside`: `kind:name`s; of each kind among them
    it must have another name, where `kind:` is that of records that have none.
    """
    if isinstance(record, Record):
        organization = organization_of_record(record, DEFAULT_ORGANIZATION)
    else:
        organization = record.organization
    if any(any(group_names(record, kind, organization)) for kind in without):
        return False
    return all(
        any(each not in names for each in group_names(record, kind, organization))
        for kind, names in names_by_kind(outside).items()
    )


@lru_cache(maxsize=64)
def names_by_kind(outside: tuple[str, ...]) -> Mapping[str, frozenset[str]]:
    """Return the names of a filter `outside` by their kind."""
    found: dict[str, set[str]] = {}
    for each in outside:
        kind, _, name = each.partition(":")
        found.setdefault(kind, set()).add(name)
    return MappingProxyType({kind: frozenset(names) for kind, names in found.items()})

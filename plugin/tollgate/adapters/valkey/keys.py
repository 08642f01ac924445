"""Build every key that Tollgate writes.

Whole keys are built here and nowhere else; scripts take them as KEYS and build none.
Each line says what a key holds, and when it goes.

    tollgate:{ORG}:counters:KIND:ID[@MODEL]  string: buckets, budgets and spend of a scope, packed.
        With its entity, of which a tombstone stays for a day. Of somebody whom nobody registered
        and nothing limits, when idle for as long as the ledger keeps records; of a customer whom
        only limits of all customers hold for, when idle for their longest window and 30 days at
        least, or never where one counts for ever; of a value of a dimension after its `remember`.
    tollgate:{ORG}:slots:KIND:ID[@MODEL]  zset: calls in flight, reservation id by lease end. With
        its last call, which is settled when its lease ends at the latest.
    tollgate:{ORG}:held  hash: id -> lease end, held amounts, reservation; stream:NAME -> id, by
        Envoy's name of the call. With its last call, likewise.
    tollgate:{ORG}:ledger  stream: settled calls, number -> record. Never; a record goes when the
        ledger no longer keeps it, with a history an hour after it was recorded.
    tollgate:{ORG}:refusals  stream: refused calls, the newest 20,000. When none came for as long as
        the ledger keeps records.
    tollgate:{ORG}:shares:KIND:ID[@MODEL]  string, in a cluster: what ORG's calls spent of a scope
        that is counted elsewhere and has no limit. As its counters.
    tollgate:{ORG}:guests  hash, in a cluster: holds of calls whose own place is another. As `held`.
    tollgate:organizations  set: organizations that ever held something. Never.
    tollgate:{values}:DIMENSION  zset: digests of values that nobody registered, by when each
        is forgotten. When none of them was used for as long as they are remembered.
    tollgate:outputs  hash: deployment -> mean output, mean hidden output. Never; it has a field for
        each deployment that ever answered.
    tollgate:layout  string: which version of the layout the counters have. Never.
    tollgate:layout:lock  string: empty, while an older layout is converted. After a minute.
    tollgate:probe  string: empty, written by checks. After a minute.
    tollgate:recorder  string: which recorder works. After 5 seconds.
    tollgate:cooldowns  hash: deployment -> until when it gets no calls. When none began to cool
        down for as long as one does.
    tollgate:events  hash: sink and organization -> delivered up to there. Never; it has a field for
        each sink that ever was.
    tollgate:changes  channel, no key: which entities have changed.
    tollgate:{alerts}:stream  stream: alerts, the newest 10,000. Never.
    tollgate:{alerts}:mark:SHA256  string: empty; the alert was told. With the period that it was
        told of.
    tollgate:{alerts}:notes  zset: whose limits were moved, by the time of the settlement. When a
        worker has looked at them, within seconds.
    tollgate:{entities}:audit  stream: what was changed, and by whom. Never; it keeps some 100,000
        entries.
    tollgate:{entities}:version  integer: the last version that was given. Never.
    tollgate:{entities}:KIND:ID  hash: version, document of an entity. With the entity.
    tollgate:{entities}:all:KIND  zset: ids of all entities of a kind, by creation. With the last.
    tollgate:{entities}:texts:KIND  zset: what entities of a kind are found by, by creation; an
        empty text says that all have theirs. Never.
    tollgate:{entities}:of:OWNER:ID:KIND  zset: ids of those of a user, team or budget. With the
        last.
    tollgate:{entities}:name:KIND:NAME  string: id of the entity that has a unique name. With the
        entity.
    tollgate:{entities}:former:KIND:ID  string: present id of the entity that had this one before.
        With the entity.

ORG is an organization, or a part of one that is split (`acme/2`). The braces are a cluster hash
tag: one organization's decision touches one slot. What spans organizations (the proxy, users,
customers) is in the slot of `default`; entities have one of their own, since one change may touch
several.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha256
from urllib.parse import quote

from tollgate.core.limits.accounts import Scope, place_of

CHANGES_CHANNEL = "tollgate:changes"
"""Channel on which writers publish `KIND:ID` of every changed entity, and `spend` after a
correction of spend.
"""


def scope_key(organization: str, scope: Scope) -> str:
    """Return the key of a scope's buckets, budget and spend."""
    return _scope_key(organization, "counters", scope)


def slots_key(organization: str, scope: Scope) -> str:
    """Return the key of a scope's calls in flight."""
    return _scope_key(organization, "slots", scope)


def _scope_key(organization: str, noun: str, scope: Scope) -> str:
    return f"tollgate:{{{quote(place_of(organization, scope), safe='')}}}:{noun}:{_shown(scope)}"


def _shown(scope: Scope) -> str:
    place = f"{scope.kind}:{quote(scope.id, safe='')}"
    return place if scope.model is None else f"{place}@{quote(scope.model, safe='')}"


@lru_cache(maxsize=1024)
def organization_keys(organization: str) -> tuple[str, str]:
    """Return the keys of an organization's reservations and ledger, in the order of the scripts."""
    tag = quote(organization, safe="")
    return f"tollgate:{{{tag}}}:held", f"tollgate:{{{tag}}}:ledger"


def refusals_key(organization: str) -> str:
    """Return the key of an organization's refused calls."""
    return f"tollgate:{{{quote(organization, safe='')}}}:refusals"


@lru_cache(maxsize=1024)
def guest_keys(place: str) -> tuple[str, str]:
    """Return the key of what calls of other organizations hold in a place, in a cluster, twice:
    in the order of the scripts, which write the ledger nowhere but in a call's own place.
    """
    guests = f"tollgate:{{{quote(place, safe='')}}}:guests"
    return guests, guests


def share_key(organization: str, scope: Scope) -> str:
    """Return the key of an organization's share of the spend of a scope that all count."""
    return f"tollgate:{{{quote(organization, safe='')}}}:shares:{_shown(scope)}"


def values_key(dimension: str) -> str:
    """Return the key of the remembered values of a dimension."""
    return f"tollgate:{{values}}:{dimension}"


ALERTS = "tollgate:{alerts}:stream"
"""Alerts on their way to sinks."""


ALERT_NOTES = "tollgate:{alerts}:notes"
"""Whose limits were moved and not looked at yet, by the time of the settlement."""


def alert_mark_key(mark: str) -> str:
    """Return the key that tells that an alert was claimed."""
    return f"tollgate:{{alerts}}:mark:{sha256(mark.encode()).hexdigest()}"


FIRST_SCOPE, SECOND_SCOPE = b"}:scope:", b"}:counters:"
FIRST_HOLDS, SECOND_HOLDS, THIRD_HOLDS = b"}:reservations", b"}:holds", b"}:held"
"""What version 0.1 named scopes and what is held, and what has taken its place."""

LAYOUT, LAYOUT_LOCK = "tollgate:layout", "tollgate:layout:lock"
"""Which version of the layout the counters have, and who converts an older one."""

ORGANIZATIONS = "tollgate:organizations"
"""All organizations that may have leases and reservations."""

OUTPUTS = "tollgate:outputs"
"""Recent output of each deployment."""

COOLDOWNS = "tollgate:cooldowns"
"""Deployments that cool down, and until when."""

PROBE = "tollgate:probe"
"""Written by a check of the store."""

EVENTS = "tollgate:events"
"""How far each sink of events has each organization's ledger."""

RECORDER = "tollgate:recorder"
"""Which recorder carries the ledger into the history."""

ENTITIES_VERSION = "tollgate:{entities}:version"
"""Incremented with every change of an entity, so that no version is ever reused."""


AUDIT = "tollgate:{entities}:audit"
"""The audit log."""


def entity_key(kind: str, identity: str) -> str:
    """Return the key of one entity's document."""
    return f"tollgate:{{entities}}:{kind}:{quote(identity, safe='')}"


def entities_index(kind: str) -> str:
    """Return the key of the ids of all entities of a kind."""
    return f"tollgate:{{entities}}:all:{kind}"


def texts_index(kind: str) -> str:
    """Return the key of what entities of a kind are found by."""
    return f"tollgate:{{entities}}:texts:{kind}"


def owned_index(owner_kind: str, owner_id: str, kind: str) -> str:
    """Return the key of the ids of the entities of a kind that belong to one owner."""
    return f"tollgate:{{entities}}:of:{owner_kind}:{quote(owner_id, safe='')}:{kind}"


def name_key(kind: str, name: str) -> str:
    """Return the key of the owner of a unique name."""
    return f"tollgate:{{entities}}:name:{kind}:{quote(name, safe='')}"


def former_id_key(kind: str, identity: str) -> str:
    """Return the key of the present id of an entity that had another one before."""
    return f"tollgate:{{entities}}:former:{kind}:{quote(identity, safe='')}"

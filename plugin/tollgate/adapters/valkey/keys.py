"""Every key that Tollgate writes.

Whole keys are built here and nowhere else; the scripts take them as KEYS and build none.

    tollgate:{ORG}:scope:SCOPE:ID[@MODEL]        buckets, budget, spend of a scope      string state
    and sums (counters.lua)
    tollgate:{ORG}:slots:SCOPE:ID[@MODEL]        calls in flight, scored by lease end   zset
    reservation id
    tollgate:{ORG}:reservations                  what is held, by reservation id        hash  id ->
    lease end, held amounts, reservation
    tollgate:{ORG}:ledger                        what was settled at once               stream
    number -> record
    tollgate:organizations                       who ever held something                set
    organization
    tollgate:outputs                             what replies had lately                hash
    deployment -> mean output, mean hidden
    tollgate:probe                               what a check of the store writes       string
    empty, for a minute
    tollgate:{entities}:version                  the last version that was given        integer
    tollgate:{entities}:KIND:ID                  an entity's document                   hash
    version document
    tollgate:{entities}:all:KIND                 all entities of a kind, by creation    zset  id
    tollgate:{entities}:of:OWNER:ID:KIND         those of a user, team or budget        zset  id
    tollgate:{entities}:name:KIND:NAME           who has a unique name                  string  id

The braces are a cluster hash tag: one organization's decision touches one slot. The proxy's own
limits span organizations, so they have a slot of their own. So have entities: one change may touch
several.
"""

from __future__ import annotations

from functools import lru_cache
from urllib.parse import quote

from tollgate.core.limits.accounts import Scope, ScopeKind

CHANGES_CHANNEL = "tollgate:changes"
"""Where writers publish `KIND:ID` of every entity that they change, and `spend` when they correct
what somebody has spent.
"""


def scope_key(organization: str, scope: Scope) -> str:
    """The buckets, the budget and the spend of a scope."""
    return _scope_key(organization, "scope", scope)


def slots_key(organization: str, scope: Scope) -> str:
    """The calls in flight of a scope."""
    return _scope_key(organization, "slots", scope)


def _scope_key(organization: str, noun: str, scope: Scope) -> str:
    tag = "proxy" if scope.kind is ScopeKind.PROXY else quote(organization, safe="")
    place = f"{scope.kind.value}:{quote(scope.id, safe='')}"
    if scope.model is not None:
        place += f"@{quote(scope.model, safe='')}"
    return f"tollgate:{{{tag}}}:{noun}:{place}"


@lru_cache(maxsize=1024)
def organization_keys(organization: str) -> tuple[str, str]:
    """Reservations and ledger of an organization, in the order in which the scripts take them."""
    tag = quote(organization, safe="")
    return f"tollgate:{{{tag}}}:reservations", f"tollgate:{{{tag}}}:ledger"


ORGANIZATIONS = "tollgate:organizations"
"""Whose leases and reservations there may be."""

OUTPUTS = "tollgate:outputs"
"""The output that each deployment's replies had lately."""

PROBE = "tollgate:probe"
"""What a check of the store writes."""

ENTITIES_VERSION = "tollgate:{entities}:version"
"""Counts up with every change of an entity, so that no version is ever used twice."""


def entity_key(kind: str, identity: str) -> str:
    """The document of one entity."""
    return f"tollgate:{{entities}}:{kind}:{quote(identity, safe='')}"


def entities_index(kind: str) -> str:
    """The ids of all entities of a kind."""
    return f"tollgate:{{entities}}:all:{kind}"


def owned_index(owner_kind: str, owner_id: str, kind: str) -> str:
    """The ids of the entities of a kind that belong to one user or team."""
    return f"tollgate:{{entities}}:of:{owner_kind}:{quote(owner_id, safe='')}:{kind}"


def name_key(kind: str, name: str) -> str:
    """Who of a kind has a unique name."""
    return f"tollgate:{{entities}}:name:{kind}:{quote(name, safe='')}"

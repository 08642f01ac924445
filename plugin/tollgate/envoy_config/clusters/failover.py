"""Decide which deployments of a model may take over a call that another could not serve.

Admission has edited body and path for one deployment. Another may take over only if its edits would
be the same, and only at the same price, since the reservation names the first one. Between all
others, admission itself chooses by weight.
"""

from __future__ import annotations

from collections.abc import Iterator

from tollgate.core.models.deployment import Deployment
from tollgate.envoy_config.clusters.upstream import cluster_name
from tollgate.envoy_config.literals import Json, typed
from tollgate.envoy_config.versions import PRIORITY_GROUP, has
from tollgate.settings import Settings

# 5xx includes a connection that breaks before the reply begins; in all of these cases the client
# has not seen a byte.
_RETRY_ON = "connect-failure,refused-stream,5xx,retriable-status-codes"
_TOO_MANY_REQUESTS = 429

Chain = tuple[Deployment, ...]
"""A deployment, followed by those that may take over from it."""


def chains(settings: Settings) -> Iterator[Chain]:
    """Yield the chain of each deployment, in the file's order, which chains follow too."""
    alike: dict[tuple[object, ...], list[Deployment]] = {}
    for each in settings.routed:
        alike.setdefault(_kind(settings, each), []).append(each)
    fails_over = has(settings.tollgate, PRIORITY_GROUP)
    for each in settings.routed:
        if each.pass_credentials or not fails_over:
            # No other deployment may receive its clients' credentials.
            yield (each,)
            continue
        members = alike[_kind(settings, each)]
        at = members.index(each)
        yield (*members[at:], *members[:at])


def _kind(settings: Settings, deployment: Deployment) -> tuple[object, ...]:
    price = settings.prices[deployment.id]
    return (
        deployment.model_name,
        deployment.provider,
        deployment.compatible,
        deployment.model,
        deployment.api_version,
        deployment.vertex_project,
        deployment.vertex_location,
        deployment.pass_credentials,
        frozenset(price.costs.items()),
        price.base_model,
    )


def failing_over(members: Chain) -> Json:
    """Return the part of a route that tries one cluster after the other.

    Filters before the router see one request and the last reply. A composite or aggregate cluster
    would not do: Envoy 1.40 then runs the filters of that cluster instead of the called member's.
    """
    groups = [
        {"name": each.id, "clusters": [{"cluster_name": cluster_name(each), "weight": 1}]}
        for each in members
    ]
    specifier = typed(
        "envoy.extensions.router.cluster_specifiers.priority_group.v3.PriorityGroupClusterSpecifier",
        priority_groups=groups,
    )
    return {
        "inline_cluster_specifier_plugin": {
            "extension": {
                "name": "envoy.router.cluster_specifier_plugin.priority_group",
                "typed_config": specifier,
            }
        },
        "retry_policy": {
            "retry_on": _RETRY_ON,
            "num_retries": len(members) - 1,
            "retriable_status_codes": [_TOO_MANY_REQUESTS],
            "refresh_cluster_on_retry": True,
        },
    }

"""Decide which deployments of a model may take over a call that another could not serve.

Admission has edited body and path for one deployment. Another may take over only if its edits would
be the same, and only at the same price, since the reservation names the first one. Between all
others, admission itself chooses by weight.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle, islice

from tollgate.core.models.deployment import Deployment
from tollgate.envoy_config.clusters.upstream import cluster_name
from tollgate.envoy_config.literals import Json, typed
from tollgate.envoy_config.versions import PRIORITY_GROUP, has
from tollgate.settings import Settings
from tollgate.settings.entries.router_entries import Retries

# In all of these cases the client has not seen a byte.
_UNANSWERED = ("connect-failure", "refused-stream")
# It includes a connection that breaks before the reply begins.
_SERVER_ERRORS = "5xx"
_BROKEN_OFF = "reset-before-request"
_TOO_MANY_REQUESTS, _REQUEST_TIMEOUT = 429, 408

Chain = tuple[Deployment, ...]
"""A deployment, followed by those that may take over from it."""


def chains(settings: Settings) -> Iterator[Chain]:
    """Yield the chain of each deployment, in the file's order, which chains follow too."""
    alike: dict[tuple[object, ...], list[Deployment]] = {}
    for each in settings.routed:
        alike.setdefault(_kind(settings, each), []).append(each)
    fails_over = has(settings.tollgate, PRIORITY_GROUP) and settings.retries.number != 0
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


def failing_over(members: Chain, retries: Retries) -> Json:
    """Return the part of a route that tries one cluster after the other, from the first one again
    if there are more retries than clusters.

    Filters before the router see one request and the last reply. A composite or aggregate cluster
    would not do: Envoy 1.40 then runs the filters of that cluster instead of the called member's.
    """
    number = len(members) - 1 if retries.number is None else retries.number
    attempts = islice(cycle(members), max(len(members), number + 1))
    groups = [
        {"name": f"{n}-{each.id}", "clusters": [{"cluster_name": cluster_name(each), "weight": 1}]}
        for n, each in enumerate(attempts)
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
        "retry_policy": {**_retry_policy(retries, number), "refresh_cluster_on_retry": True},
    }


def repeating(retries: Retries) -> Json:
    """Return the part of a route with one cluster that repeats failed calls there."""
    if not retries.number:
        return {}
    return {"retry_policy": _retry_policy(retries, retries.number)}


def _retry_policy(retries: Retries, number: int) -> Json:
    causes = [*_UNANSWERED, _SERVER_ERRORS if retries.server_errors else _BROKEN_OFF]
    statuses = [
        status
        for status, repeated in (
            (_TOO_MANY_REQUESTS, retries.rate_limits),
            (_REQUEST_TIMEOUT, retries.timeouts),
        )
        if repeated
    ]
    policy: Json = {"num_retries": number}
    if statuses:
        causes.append("retriable-status-codes")
        policy["retriable_status_codes"] = statuses
    return {"retry_on": ",".join(causes), **policy}

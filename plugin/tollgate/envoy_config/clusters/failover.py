"""Decide which deployments of a model may take over a call that another could not serve.

Admission has edited body and path for one deployment. Another may take over only if its edits would
be the same, and only at the same price, since the reservation names the first one. Between all
others, admission itself chooses by weight.
"""

from __future__ import annotations

from envoy_data_plane.envoy.config.route.v3 import RetryPolicy

from tollgate.core.models.deployment import Deployment
from tollgate.envoy_config.clusters.upstream import cluster_name
from tollgate.envoy_config.typed_messages import Json, plain
from tollgate.envoy_config.versions import PRIORITY_GROUP, has
from tollgate.settings import Settings

# 5xx includes a connection that breaks before the reply begins; in all of these cases the client
# has not seen a byte.
_RETRY_ON = "connect-failure,refused-stream,5xx,retriable-status-codes"
_TOO_MANY_REQUESTS = 429


def chain(settings: Settings, deployment: Deployment) -> tuple[Deployment, ...]:
    """Return the deployment, followed by those that may take over from it, in the file's order."""
    if deployment.pass_credentials or not has(settings.tollgate, PRIORITY_GROUP):
        # No other deployment may receive its clients' credentials.
        return (deployment,)
    alike = [
        each for each in settings.routed if _kind(settings, each) == _kind(settings, deployment)
    ]
    at = alike.index(deployment)
    return (*alike[at:], *alike[:at])


def _kind(settings: Settings, deployment: Deployment) -> tuple[object, ...]:
    return (
        deployment.model_name,
        deployment.provider,
        deployment.compatible,
        deployment.model,
        deployment.api_version,
        deployment.vertex_project,
        deployment.vertex_location,
        deployment.pass_credentials,
        settings.prices[deployment.id],
    )


def failing_over(members: tuple[Deployment, ...]) -> Json:
    """Return the part of a route that tries one cluster after the other.

    Filters before the router see one request and the last reply. A composite or aggregate cluster
    would not do: Envoy 1.40 then runs the filters of that cluster instead of the called member's.
    """
    specifier = {
        "@type": (
            "type.googleapis.com/envoy.extensions.router.cluster_specifiers.priority_group.v3.PriorityGroupClusterSpecifier"
        ),
        "priority_groups": [
            {"name": each.id, "clusters": [{"cluster_name": cluster_name(each), "weight": 1}]}
            for each in members
        ],
    }
    policy = RetryPolicy(
        retry_on=_RETRY_ON,
        retriable_status_codes=[_TOO_MANY_REQUESTS],
        num_retries=len(members) - 1,
        refresh_cluster_on_retry=True,
    )
    return {
        "inline_cluster_specifier_plugin": {
            "extension": {
                "name": "envoy.router.cluster_specifier_plugin.priority_group",
                "typed_config": specifier,
            }
        },
        "retry_policy": plain(policy),
    }

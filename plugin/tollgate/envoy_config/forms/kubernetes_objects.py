"""Build the parts that objects of all control planes share."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from tollgate.core.envoy_contract import AUTHZ_FILTER, RESERVATION
from tollgate.core.errors import SettingsError
from tollgate.core.models.deployment import Deployment
from tollgate.core.models.probe_model import PROBE
from tollgate.settings import Credential, Settings
from tollgate.topology import Address

Object = dict[str, Any]
"""One Kubernetes object, as kubectl reads it."""

NAME = "tollgate"
MANAGED = {"app.kubernetes.io/name": NAME, "app.kubernetes.io/managed-by": NAME}
LOGGED = (
    f"('{AUTHZ_FILTER}' in metadata.filter_metadata && '{RESERVATION}' in"
    f" metadata.filter_metadata['{AUTHZ_FILTER}']) || response.code >= 500 || response.code == 0"
)
"""Which requests the access log reports, as a CEL expression: those with a reservation, and those
that ended before Tollgate's answer reached Envoy.
"""
_LONGEST_NAME = 63
_NO_NAME = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True, slots=True)
class Place:
    """Where Tollgate is served, and where it runs.

    `domain`: the host that clients call. `namespace`: of Tollgate's service and of the objects.
    """

    domain: str
    namespace: str


def made(api_version: str, kind: str, name: str, place: Place, spec: Object) -> Object:
    """Return one object."""
    metadata = {"name": name, "namespace": place.namespace, "labels": dict(MANAGED)}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": spec}


def ports(settings: Settings) -> tuple[int, int]:
    """Return the ports of Tollgate's service for gRPC and for the management API.

    Raises SettingsError if one of them is a Unix socket, which no other pod reaches.
    """
    ours = settings.tollgate
    found = []
    for name in ("grpc", "http"):
        address = Address.parse(getattr(ours, f"reach_{name}") or getattr(ours, f"serve_{name}"))
        if address.path:
            raise SettingsError(
                f"tollgate.serve_{name}: a control plane's Envoy needs a host and a port"
                f" (got {address})"
            )
        found.append(address.port)
    return found[0], found[1]


def object_name(text: str) -> str:
    """Return a text as the name of an object (RFC 1123)."""
    return _NO_NAME.sub("-", text.lower()).strip("-")[:_LONGEST_NAME].strip("-") or NAME


def served(settings: Settings) -> list[tuple[str, Deployment]]:
    """Return the deployments, each with a name of its own for its objects."""
    found: list[tuple[str, Deployment]] = []
    taken: set[str] = set()
    for each in settings.routed:
        wanted = name = object_name(f"{NAME}-{each.id.removeprefix(f'{NAME}-')}")
        number = 2
        while name in taken:
            suffix = f"-{number}"
            name, number = wanted[: _LONGEST_NAME - len(suffix)] + suffix, number + 1
        taken.add(name)
        found.append((name, each))
    return found


def is_ours(deployment: Deployment) -> bool:
    """Return whether the management server is the provider."""
    return deployment is PROBE


def find_credential(settings: Settings, deployment: Deployment, form: str) -> Credential | None:
    """Return the credential that the form adds itself; None if the deployment has none.

    Raises SettingsError for AWS signatures, which only a whole Envoy configuration can have.
    """
    credential = settings.credentials.get(deployment.id)
    if deployment.pass_credentials:
        return None
    if deployment.provider == "bedrock" and (credential is None or credential.aws):
        raise SettingsError(
            f"model_list: {deployment.model_name}: {form} cannot sign for AWS;"
            " give the deployment a Bedrock API key as api_key"
        )
    return credential

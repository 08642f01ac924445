"""Define where everything listens, which the supervisor knows and the settings do not.

Also names the parts of Envoy's configuration. Separate from envoy_config, whose libraries take 12
MB: the supervisor runs for months and renders once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_address
from pathlib import PurePath
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from tollgate.core.errors import SettingsError

if TYPE_CHECKING:
    from tollgate.settings import TollgateSettings

DEFAULT_TRUST_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
"""The system's certificate authorities on Debian, Ubuntu, Alpine and Arch, and in
Envoy's own image.
"""


@dataclass(frozen=True, slots=True)
class Address:
    """A Unix socket (`path`), or a host and a port."""

    path: str = ""
    host: str = ""
    port: int = 0

    @classmethod
    def parse(cls, text: str) -> Address:
        """Parse `unix:/path` or `host:port`. Raises SettingsError for anything else."""
        if text.startswith("unix:"):
            return cls(path=text.removeprefix("unix:"))
        try:
            parts = urlsplit(f"//{text}")
            host, port = parts.hostname, parts.port
        except ValueError:
            host, port = None, None
        if host is None or port is None:
            raise SettingsError(f"{text!r} is not an address: write host:port or unix:/path")
        return cls(host=host, port=port)

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Discovery:
    """Files with what may change while Envoy runs (xDS).

    `folder` holds them. `secrets`: the file of each provider's key, by the name of its credential.
    `by_ads`: the workers pass them on by gRPC; otherwise Envoy watches them.
    """

    folder: str
    secrets: Mapping[str, str]
    by_ads: bool = False

    @property
    def clusters(self) -> str:
        """The deployments' clusters (CDS); Envoy takes its encoded_form()."""
        return f"{self.folder}/clusters.json"

    @property
    def routes(self) -> str:
        """The route table (RDS), likewise."""
        return f"{self.folder}/routes.json"

    @property
    def certificate(self) -> str:
        """The certificate of the listener (SDS)."""
        return f"{self.folder}/certificate.json"

    @property
    def client_ca(self) -> str:
        """The authorities of clients' certificates (SDS)."""
        return f"{self.folder}/client-ca.json"


class EnvoyVerdict(NamedTuple):
    """What an Envoy has said of the resources of one type: versions, empty for none.

    `detail`: why it has refused.
    """

    node: str
    sent: str
    taken: str
    refused: str
    detail: str


def verdicts_file(folder: str, pid: int | str) -> str:
    """Return where a worker notes what its Envoys say."""
    return f"{folder}/verdicts-{pid}.json"


SECRETS_FILE = "secrets.pb"
"""In the folder of a Discovery by gRPC: all secrets."""


def encoded_form(file: str) -> str:
    """Return the file beside a file of JSON that has the same as Envoy takes it."""
    return str(PurePath(file).with_suffix(".pb"))


def secret_name(file: str) -> str:
    """Return the name of the secret in a file."""
    return PurePath(file).stem


@dataclass(frozen=True, slots=True)
class Topology:
    """The addresses of one gateway.

    - `workers_http`: where workers serve ext_authz over HTTP, in native mode.
    - `stand_ins`: how many of the last workers get calls only while no other is alive.
    - `mock`, `envoy_admin`: may be absent.
    - `trust_bundle`: a file of certificate authorities.
    - `discovery`: None where the whole configuration is in one file.
    """

    listen: Address
    workers: tuple[Address, ...]
    admin: Address
    mock: Address | None = None
    envoy_admin: Address | None = None
    trust_bundle: str = DEFAULT_TRUST_BUNDLE
    workers_http: tuple[Address, ...] = ()
    stand_ins: int = 0
    discovery: Discovery | None = None


def beside_serve(ours: TollgateSettings) -> Topology:
    """Return where an Envoy finds `tollgate serve`.

    Raises SettingsError for an invalid address, or `xds: files` without their folder.
    """
    discovery = Discovery("", {}, by_ads=True) if ours.xds == "ads" else None
    if ours.xds == "files":
        if ours.xds_folder is None:
            raise SettingsError("tollgate.xds_folder: `xds: files` needs a folder for them")
        discovery = Discovery(str(ours.xds_folder.absolute()), {})
    return Topology(
        listen=Address(host=ours.host, port=ours.port),
        workers=(_reached(ours.serve_grpc, ours.reach_grpc),),
        admin=_reached(ours.serve_http, ours.reach_http),
        workers_http=(_reached(ours.serve_native, ours.reach_native),),
        envoy_admin=None
        if ours.reach_envoy_admin is None
        else Address.parse(ours.reach_envoy_admin),
        discovery=discovery,
    )


def _reached(listening: str, reached: str | None) -> Address:
    """Return where Envoy finds a listener: on the same machine, unless the
    settings say otherwise.
    """
    address = Address.parse(reached or listening)
    if address.path or not _is_unspecified(address.host):
        return address
    return Address(host="::1" if ":" in address.host else "127.0.0.1", port=address.port)


def _is_unspecified(host: str) -> bool:
    try:
        return ip_address(host).is_unspecified
    except ValueError:
        return False


class ConfigPart(StrEnum):
    """The part of the configuration to print: the whole file, or a section for an existing one."""

    BOOTSTRAP = "bootstrap"
    LISTENER = "listener"
    CONNECTION_MANAGER = "connection-manager"
    FILTERS = "filters"
    VIRTUAL_HOST = "virtual-host"
    CLUSTERS = "clusters"
    SECRETS = "secrets"
    ACCESS_LOG = "access-log"
    LOCAL_REPLIES = "local-replies"
    EARLY_MUTATIONS = "early-mutations"
    BOUNDS = "bounds"


class ControlPlane(StrEnum):
    """Who configures Envoy: a bootstrap file, or a control plane in Kubernetes."""

    PLAIN = "plain"
    ENVOY_GATEWAY = "envoy-gateway"
    ISTIO = "istio"
    ISTIO_MESH_CONFIG = "istio-mesh-config"
    CONTOUR = "contour"

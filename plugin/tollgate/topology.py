"""Where everything listens: what the supervisor knows and the settings do not; and the parts of
Envoy's configuration.

It stands apart from envoy_config, whose libraries take 12 MB: the supervisor runs for months and
renders once.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlsplit

from tollgate.core.errors import SettingsError

DEFAULT_TRUST_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
"""Debian, Ubuntu, Alpine and Arch keep the system's certificate authorities here, and so does
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
        """Read `unix:/path` or `host:port`. Raises SettingsError when it is neither."""
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
class Topology:
    """The addresses of one gateway.

    `workers_http`: where the workers take ext_authz over HTTP, in native mode. `stand_ins`: so many
    of the workers, the last, get calls only while no other lives. `mock` and `envoy_admin` may be
    absent; `trust_bundle` is a file of certificate authorities.
    """

    listen: Address
    workers: tuple[Address, ...]
    admin: Address
    mock: Address | None = None
    envoy_admin: Address | None = None
    trust_bundle: str = DEFAULT_TRUST_BUNDLE
    workers_http: tuple[Address, ...] = ()
    stand_ins: int = 0


class Part(StrEnum):
    """Which part is printed: the whole file, or what goes into one that is there."""

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

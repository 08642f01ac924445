"""Define the part of `tollgate:` about the gateway's edge: how it listens and how it stops."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class OwnSection(BaseModel):
    """A section of our own, in which an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class MetricsSettings(OwnSection):
    """Who may read /metrics, which shows requests, tokens and dollars by model."""

    address: str | None = Field(
        None,
        description="host:port that serves metrics without a key, for a monitoring system",
    )
    open: bool = Field(
        default=False,
        description="whether the gateway's own port serves metrics without an admin's key",
    )
    labels: dict[str, Annotated[int, Field(ge=1, le=10_000)]] = Field(
        default_factory=dict,
        description=(
            "scopes whose requests, tokens and dollars are counted by name, and how many names of"
            " each; others share the label `other`"
        ),
        examples=[{"team": 50, "key": 200}],
    )
    fullest_limits: int = Field(
        10,
        ge=0,
        le=1000,
        description=(
            "how many limits are told that will be used up first, and how many of the fullest"
            " others, by metrics, the console and `tollgate top`; 0: none"
        ),
    )
    litellm: int = Field(
        0,
        ge=0,
        le=10_000,
        description=(
            "how many keys, teams, users and organizations have labels of their own in metrics of"
            " LiteLLM's names; 0: there are none. `metrics: litellm` is short for 1000"
        ),
    )

    @model_validator(mode="before")
    @classmethod
    def _short(cls, given: Any) -> Any:
        return {"litellm": 1000} if given == "litellm" else given


Xds = Literal["static", "files", "ads"]
"""How an Envoy beside `tollgate serve` gets clusters, routes and credentials."""


class TlsSettings(OwnSection):
    """TLS on the gateway's own port.

    Files are reread when they are replaced by renaming, under `up` and with `xds: files`.
    """

    certificate: Path = Field(description="certificate chain, PEM")
    key: Path = Field(description="its private key, PEM")
    client_ca: Path | None = Field(
        None, description="authorities, one of whose certificates each client has to show, PEM"
    )

    def unreadable(self) -> str | None:
        """Return the first file that cannot be read, and why; None if all can."""
        for name in ("certificate", "key", "client_ca"):
            path: Path | None = getattr(self, name)
            try:
                if path is not None:
                    path.read_bytes()
            except OSError as error:
                return f"tollgate.tls.{name}: {path}: {error.strerror}"
        return None


class EdgeSettings(OwnSection):
    """Settings for Envoy and the supervisor. Every field has a safe default."""

    host: str = Field("127.0.0.1", description="address that the gateway listens on")
    port: int = Field(
        4000, ge=0, le=65535, description="port that the gateway listens on; 0 takes a free one"
    )
    tls: TlsSettings | None = Field(None, description="TLS on the gateway's own port")
    serve_grpc: str = Field(
        "127.0.0.1:4001", description="`tollgate serve`: where the workers listen for Envoy"
    )
    serve_native: str = Field(
        "127.0.0.1:4003",
        description=(
            "`tollgate serve`: where the workers listen for Envoy's ext_authz in native mode"
        ),
    )
    serve_http: str = Field(
        "127.0.0.1:4002", description="`tollgate serve`: where the admin server listens"
    )
    reach_grpc: str | None = Field(
        None,
        description=(
            "`tollgate envoy-config`: where Envoy finds `serve_grpc`, if elsewhere than on its own"
            " machine"
        ),
    )
    reach_native: str | None = Field(None, description="likewise for `serve_native`")
    reach_http: str | None = Field(None, description="likewise for `serve_http`")
    xds: Xds = Field(
        "static",
        description=(
            "how an Envoy beside `tollgate serve` learns of changes: `static`, from a configuration"
            " that is printed anew; `files`, from those in `xds_folder`; `ads`, from the workers"
        ),
    )
    xds_folder: Path | None = Field(
        None,
        description=(
            "`xds: files`: where `tollgate serve` writes clusters, routes and credentials; Envoy"
            " finds it under the same path"
        ),
    )
    reach_envoy_admin: str | None = Field(
        None,
        description=(
            "`xds: files`: host:port or unix:/path of Envoy's admin interface, so that a change is"
            " in force only once Envoy has taken it, and refused if Envoy refuses it"
        ),
    )
    cors_origins: tuple[str, ...] = Field(
        (),
        description=(
            "origins whose pages may call the gateway from a browser, as https://app.example;"
            " `*`: all"
        ),
    )
    metrics: MetricsSettings = Field(MetricsSettings(), description="who reads /metrics")
    access_log_metadata: bool = Field(
        default=False,
        description=(
            "whether Envoy's own access log may print key, request id, tokens and cost of a call"
            " (docs/access-log.md)"
        ),
    )
    max_connections: int = Field(
        10_000, ge=1, description="connections of clients at once; more are closed"
    )
    max_streams_per_connection: int = Field(
        100, ge=1, le=2**31 - 1, description="calls at once on one HTTP/2 connection"
    )
    client_idle_timeout_seconds: int = Field(
        300, ge=1, description="an idle connection is closed after this"
    )
    request_headers_timeout_seconds: int = Field(
        30, ge=1, description="a request whose headers take longer is answered with 408"
    )
    request_timeout_seconds: int = Field(
        120,
        ge=1,
        description="a request that takes longer to arrive, its body too, is answered with 408",
    )
    envoy_memory_mib: int = Field(
        1024,
        ge=128,
        description=(
            "memory limit of Envoy; above nine tenths of it new requests are answered with 503"
        ),
    )
    drain_seconds: int = Field(
        30,
        ge=0,
        le=3600,
        description="how long calls in flight may take to end when the gateway stops",
    )

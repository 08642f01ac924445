"""The part of our section `tollgate:` that is about the gateway's edge: how it listens and how it ends."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class OwnSection(BaseModel):
    """A section of our own: a key that we do not know is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class EdgeSettings(OwnSection):
    """What Envoy and the supervisor are told. Every field has a safe default."""

    host: str = Field("127.0.0.1", description="address that the gateway listens on")
    port: int = Field(4000, ge=0, le=65535, description="port that the gateway listens on; 0 takes a free one")
    serve_grpc: str = Field("127.0.0.1:4001", description="`tollgate serve`: where the workers listen for Envoy")
    serve_native: str = Field(
        "127.0.0.1:4003", description="`tollgate serve`: where the workers listen for Envoy's ext_authz in native mode"
    )
    serve_http: str = Field("127.0.0.1:4002", description="`tollgate serve`: where the admin server listens")
    drain_seconds: int = Field(
        30, ge=0, le=3600, description="how long calls under way may take to end when the gateway is told to stop"
    )

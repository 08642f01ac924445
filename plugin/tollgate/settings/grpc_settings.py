"""Define the part of `tollgate:` about gRPC peers."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from tollgate.settings.edge_settings import EdgeSettings


class GrpcSettings(EdgeSettings):
    """Which server speaks gRPC, and what a peer may demand of it. Every field has
    a safe default.
    """

    grpc_server: Literal["auto", "grpcio", "own"] = Field(
        "auto",
        description=(
            "what serves gRPC: our own server where only this host can reach it, grpcio on a"
            " network"
        ),
    )
    grpc_max_streams: int = Field(
        4096, ge=1, le=1_000_000, description="gRPC calls at once on one connection"
    )
    serve_grpc_certificate: Path | None = Field(
        None, description="`tollgate serve`: TLS certificate of serve_grpc, PEM"
    )
    serve_grpc_key: Path | None = Field(None, description="`tollgate serve`: its key, PEM")
    serve_grpc_client_ca: Path | None = Field(
        None,
        description=(
            "`tollgate serve`: certificate authorities for required client certificates, PEM"
        ),
    )

    @model_validator(mode="after")
    def _check_tls(self) -> Self:
        given = [self.serve_grpc_certificate, self.serve_grpc_key]
        if self.serve_grpc_client_ca is not None or any(given):
            if not all(given):
                raise ValueError("TLS needs both serve_grpc_certificate and serve_grpc_key")
            if self.grpc_server == "own":
                raise ValueError(
                    "TLS is served by grpcio: leave grpc_server at auto, or set it to grpcio"
                )
        return self

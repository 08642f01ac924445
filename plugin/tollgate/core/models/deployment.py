"""A deployment: a public model name served by one provider's endpoint."""

from __future__ import annotations

from dataclasses import dataclass

from tollgate.core.models.stream_usage import ASKED, StreamUsage


@dataclass(frozen=True, slots=True)
class Deployment:
    """One entry of `model_list`: a public model name served by one provider's endpoint.

    `weight`: its share of the calls among the deployments of its name. `api_version` is Azure's;
    `region` is AWS's; `vertex_project` and `vertex_location` are Vertex's, and replace a client's
    own. `pass_credentials`: its clients' own credentials go on to the provider, and none of the
    gateway's. `stream_usage`: how its streams are brought to tell their usage.
    `base_model`: which model it is, where its own name does not say. `trust_provider_cost`: what a
    reply says that it cost is what is charged.
    """

    id: str
    model_name: str
    provider: str
    model: str
    api_base: str
    max_output_tokens: int | None = None
    access_groups: tuple[str, ...] = ()
    weight: int = 1
    api_version: str | None = None
    region: str | None = None
    vertex_project: str | None = None
    vertex_location: str | None = None
    mode: str | None = None
    pass_credentials: bool = False
    stream_usage: StreamUsage = ASKED
    trust_provider_cost: bool = False
    base_model: str | None = None

    @property
    def known_as(self) -> str:
        """The name under which tables of models know it."""
        return self.base_model or self.model

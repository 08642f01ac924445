"""Define a deployment: a public model name served by one provider's endpoint."""

from __future__ import annotations

from dataclasses import dataclass, field

from tollgate.core.models.stream_usage import ASKED, StreamUsage


@dataclass(frozen=True, slots=True)
class Deployment:
    """One entry of `model_list`.

    - `weight`: share of the calls among the deployments of the same name.
    - `api_version`: Azure's. `region`: AWS's.
    - `vertex_project`, `vertex_location`: Vertex's; they replace a client's own.
    - `pass_credentials`: the client's own credentials go to the provider, the gateway's do not.
    - `stream_usage`: how its streams are made to report usage.
    - `compatible`: reached at its vendor's endpoint for OpenAI's chat completions, beside the
      deployment that speaks the vendor's own API.
    - `base_model`: the underlying model, if the name does not reveal it.
    - `timeout_seconds`: how long its provider may be silent; None: as long as any.
    - `added`: over the API, not by the configuration file.
    - `trust_provider_cost`: charge the cost that the reply reports.
    - `max_input_tokens`: the longest prompt that the model takes; None: not known.
    - `known_as`: the name under which tables of models list it.
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
    compatible: bool = False
    timeout_seconds: float | None = None
    added: bool = False
    max_input_tokens: int | None = None
    known_as: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "known_as", self.base_model or self.model)

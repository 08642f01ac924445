"""Define the validated configuration that the rest of Tollgate works with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from urllib.parse import urlsplit

from tollgate.core.callers.rules import Upstream
from tollgate.core.models.deployment import Deployment
from tollgate.core.models.probe_model import PROBE
from tollgate.core.money.costs import CostName, OwnPrice
from tollgate.core.requests.catalog import Alias
from tollgate.settings.entries.router_entries import Cooldown, Retries
from tollgate.settings.own_section import TollgateSettings
from tollgate.settings.page_sections import LitellmSettings

MOCK_HOST = "mock-llm"
"""Host name in `api_base` that selects the built-in provider, which `tollgate up` then starts."""

_PROBE_DOLLARS = Decimal("0.000000001")
PROBE_PRICE = OwnPrice({CostName("input"): _PROBE_DOLLARS, CostName("output"): _PROBE_DOLLARS})
"""A nano-dollar for each token: what a probe costs is seen in the ledger, and hardly elsewhere."""


@dataclass(frozen=True, slots=True)
class Credential:
    """A provider's key: its name in Envoy's environment, and its value if the file contains it.

    `aws`: a file of AWS credentials with which Envoy signs, instead of a key.
    """

    variable: str
    value: str | None = None
    aws: bool = False


@dataclass(frozen=True, slots=True)
class Settings:
    """A validated file.

    `credentials` and `prices` are keyed by deployment id. `credentials` also holds, under their own
    names, the variables from which Envoy takes AWS credentials. `aliases` maps public names to
    others. `upstreams`: the limits of deployments and their providers, by deployment id.
    `fallbacks`: models that serve in place of one (`*`: of all others); `context_fallbacks`: those
    that serve prompts that are too long for it. `cooldown`: None lets no
    deployment cool down. `administrators_console`: nobody else may use it. `notices` and `warnings`
    are lines for the operator; a warning is about what does not work.
    """

    master_key: str | None
    litellm: LitellmSettings
    tollgate: TollgateSettings
    deployments: tuple[Deployment, ...]
    credentials: Mapping[str, Credential]
    prices: Mapping[str, OwnPrice]
    aliases: Mapping[str, Alias] = field(default_factory=dict)
    upstreams: Mapping[str, Upstream] = field(default_factory=dict)
    fallbacks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    context_fallbacks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    retries: Retries = field(default_factory=Retries)
    cooldown: Cooldown | None = None
    administrators_console: bool = False
    notices: tuple[str, ...] = field(default=())
    warnings: tuple[str, ...] = field(default=())

    @property
    def entries(self) -> tuple[Deployment, ...]:
        """The deployments that the file names, without those that come with them."""
        return tuple(each for each in self.deployments if not each.compatible)

    @property
    def routed(self) -> tuple[Deployment, ...]:
        """The deployments that Envoy has routes for: the file's, and that of probes."""
        return (*self.deployments, PROBE)

    @property
    def uses_mock(self) -> bool:
        """Whether some deployment is served by the built-in provider."""
        return any(urlsplit(d.api_base).hostname == MOCK_HOST for d in self.deployments)

    def shadowed(self) -> Settings:
        """Return the settings for copies of another gateway's traffic: no limit is enforced, and
        the built-in provider takes the place of all others.

        No provider's key is left in them: a copy of a call must not be paid for a second time.
        """
        deployments = tuple(
            replace(each, api_base=f"http://{MOCK_HOST}{urlsplit(each.api_base).path}")
            for each in self.deployments
        )
        return replace(
            self,
            deployments=deployments,
            credentials={},
            upstreams={},
            tollgate=self.tollgate.model_copy(update={"enforce": False}),
        )

    def missing_variables(self, environment: Mapping[str, str]) -> list[str]:
        """Return a line for each provider's key whose environment variable is not set."""
        beside = {each.id for each in self.deployments if each.compatible}
        return [
            f"{identity}: the environment variable {credential.variable} is not set"
            for identity, credential in self.credentials.items()
            if not (credential.value or environment.get(credential.variable))
            and identity not in beside
        ]

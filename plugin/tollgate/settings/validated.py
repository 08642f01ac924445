"""What a configuration file says, validated: the value that the rest of Tollgate works with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from tollgate.core.models.deployment import Deployment
from tollgate.core.money.costs import OwnPrice
from tollgate.core.requests.catalog import Alias
from tollgate.settings.own_section import TollgateSettings
from tollgate.settings.page_sections import LitellmSettings

MOCK_HOST = "mock-llm"
"""A deployment whose api_base names this host is served by the built-in provider, which `tollgate
up` then starts.
"""


@dataclass(frozen=True, slots=True)
class Credential:
    """A provider's key: a name in Envoy's environment, and the value to put there when the file
    holds it literally.

    `aws`: it is no key but a file of AWS credentials, with which Envoy signs.
    """

    variable: str
    value: str | None = None
    aws: bool = False


@dataclass(frozen=True, slots=True)
class Settings:
    """A validated file.

    `credentials` and `prices` are by deployment id; `aliases`: public names that stand for another
    one. `notices` are lines for whoever starts us.

    Among the credentials, by their own names, are the variables from which Envoy takes AWS
    credentials by itself.
    """

    master_key: str | None
    litellm: LitellmSettings
    tollgate: TollgateSettings
    deployments: tuple[Deployment, ...]
    credentials: Mapping[str, Credential]
    prices: Mapping[str, OwnPrice]
    aliases: Mapping[str, Alias] = field(default_factory=dict)
    notices: tuple[str, ...] = field(default=())

    @property
    def entries(self) -> tuple[Deployment, ...]:
        """The deployments that the file names, without those that come with them."""
        return tuple(each for each in self.deployments if not each.compatible)

    @property
    def uses_mock(self) -> bool:
        """Whether some deployment is served by the built-in provider."""
        return any(urlsplit(d.api_base).hostname == MOCK_HOST for d in self.deployments)

    def missing_variables(self, environment: Mapping[str, str]) -> list[str]:
        """One line for each provider's key that is to come from an environment variable which is
        not set.
        """
        beside = {each.id for each in self.deployments if each.compatible}
        return [
            f"{identity}: the environment variable {credential.variable} is not set"
            for identity, credential in self.credentials.items()
            if not (credential.value or environment.get(credential.variable))
            and identity not in beside
        ]

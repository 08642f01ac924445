"""What a failed call leads to: retries, cooldowns and fallbacks, as LiteLLM's files write them.

https://docs.litellm.ai/docs/proxy/reliability describes the fields.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

EVERY_MODEL = "*"
"""In fallbacks: all models that have none of their own."""

_MOST_RETRIES = 10
_MOST_SECONDS = 86_400.0


def _at_most_ten(number: int) -> int:
    return min(number, _MOST_RETRIES)


def _at_most_a_day(seconds: float) -> float:
    return min(seconds, _MOST_SECONDS)


Retried = Annotated[int, Field(ge=0), AfterValidator(_at_most_ten)]
"""How often a call is repeated. More than ten times would only prolong an outage."""
Seconds = Annotated[float, Field(ge=0.01), AfterValidator(_at_most_a_day)]


class RetryPolicy(BaseModel):
    """How often a call is repeated, by the kind of its failure."""

    model_config = ConfigDict(extra="allow", frozen=True)

    TimeoutErrorRetries: Retried | None = None
    RateLimitErrorRetries: Retried | None = None
    InternalServerErrorRetries: Retried | None = None


@dataclass(frozen=True, slots=True)
class Retries:
    """How often Envoy repeats a call that failed before its reply began, and after which failures.

    `number`: None lets each deployment that may take over try once. `timeouts`: after a provider's
    408 too. Connections that fail are always among them.
    """

    number: int | None = None
    timeouts: bool = False
    rate_limits: bool = True
    server_errors: bool = True


@dataclass(frozen=True, slots=True)
class Cooldown:
    """After more than `allowed_fails` failures within a minute, a deployment gets no calls for
    `seconds`, while another one has room.
    """

    allowed_fails: int
    seconds: float


def retries_of(number: int | None, policy: RetryPolicy | None) -> Retries:
    """Return the retries that a file asks for. A kind that a policy leaves out takes the number."""
    if policy is None:
        return Retries(number)
    kinds = (
        policy.TimeoutErrorRetries,
        policy.RateLimitErrorRetries,
        policy.InternalServerErrorRetries,
    )
    timeouts, rate_limits, server_errors = (number if each is None else each for each in kinds)
    given = [each for each in (*kinds, number) if each is not None]
    return Retries(
        max(given, default=None),
        timeouts=bool(timeouts),
        rate_limits=rate_limits != 0,
        server_errors=server_errors != 0,
    )


def _listed(value: object) -> object:
    """Return fallbacks as one mapping: LiteLLM writes a list of mappings with one name each."""
    if isinstance(value, Mapping):
        return value
    several = value if isinstance(value, Iterable) and not isinstance(value, str) else [value]
    found: dict[str, object] = {}
    for each in several:
        if not isinstance(each, Mapping):
            raise ValueError("must be a list such as [{MODEL: [OTHER, ANOTHER]}]")
        found.update({str(name): several for name, several in each.items()})
    return found


def _model_names(value: object) -> object:
    """Return a list of models as their names.

    An entry may be a mapping with other parameters of the call besides `model`.
    """
    if not isinstance(value, list | tuple):
        return value
    return [each.get("model") if isinstance(each, Mapping) else each for each in value]


ModelNames = Annotated[tuple[str, ...], BeforeValidator(_model_names)]


def _without_empty(value: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    return {name: several for name, several in value.items() if several}


Fallbacks = Annotated[
    dict[str, ModelNames], BeforeValidator(_listed), AfterValidator(_without_empty)
]
"""The models that serve in place of one, in order."""

"""Read which provider and model a name of LiteLLM's means."""

from __future__ import annotations

import re

from tollgate.core.models.makers import maker_of
from tollgate.settings import provider_defaults as defaults
from tollgate.settings.environment import Environment
from tollgate.settings.page_sections import LitellmParams

_BEDROCK_ROUTE = re.compile(
    r"((converse|converse_like|invoke|chat_completions)/)?"
    r"((?P<region>[a-z]{2}(-gov|-iso\w?)?-[a-z]+-\d)/(\d-month-commitment/)?)?"
)
_ARN_REGION = re.compile(r"arn:[a-z-]+:bedrock:(?P<region>[a-z0-9-]+):")
_OTHER_SERVICES = ("agent/", "agentcore/", "async_invoke/")


_PROMPTS = "takes the prompt from elsewhere"
_CHOOSES = "chooses a model by the prompt"
_OF_LITELLM = {
    "auto_router": _CHOOSES,
    "bitbucket": _PROMPTS,
    "dotprompt": _PROMPTS,
    "gitlab": _PROMPTS,
    "humanloop": _PROMPTS,
    "langfuse": _PROMPTS,
    "litellm_agent": "runs an agent",
}
"""Names that stand where a provider does, for what LiteLLM's own process does."""
_WITHOUT_ADDRESS = frozenset({"azure", "azure_ai", "databricks", "hosted_vllm"})


class CannotServe(Exception):
    """A deployment cannot be called as its owner meant: it is left out, others are served."""


def provider_of(
    name: str, params: LitellmParams, environment: Environment, notices: list[str]
) -> tuple[str, str]:
    """Return the provider, and the name by which it knows the model.

    A model without `provider/` belongs to its maker.
    """
    if given := params.custom_llm_provider:
        return _known_as(given), params.model.removeprefix(f"{given}/")
    provider, slash, model = params.model.partition("/")
    if slash and not params.model.startswith("arn:"):
        return _known_as(provider), model
    maker = maker_of(params.model)
    if maker is None:
        notices.append(
            f"model_list: {name}: the maker of model {params.model!r} is unknown: "
            "openai/ is assumed"
        )
    place = (
        params.vertex_project,
        params.vertex_location,
        value_of(environment, defaults.VERTEX_PROJECTS[:2]),
    )
    if maker == "gemini" and any(place):
        maker = "vertex_ai"
    return maker or "openai", params.model


def _known_as(provider: str) -> str:
    """Return Tollgate's name of a provider. Raises CannotServe for what LiteLLM itself does."""
    if (what := _OF_LITELLM.get(provider)) is not None:
        raise CannotServe(f"{provider}/ {what}, which Tollgate does not do")
    lower = provider.lower()
    name = lower if lower in defaults.API_BASES or lower in _WITHOUT_ADDRESS else provider
    return defaults.RENAMED.get(name, name)


def routed(provider: str, model: str) -> tuple[str | None, str]:
    """Return the region and the model in a name that also says which API LiteLLM is to use.

    https://docs.litellm.ai/docs/providers/bedrock, https://docs.litellm.ai/docs/response_api. Here
    the client's path says it. Raises CannotServe.
    """
    if provider in ("openai", "azure"):
        return None, model.removeprefix("responses/")
    if provider != "bedrock":
        return None, model
    if model.startswith(_OTHER_SERVICES):
        raise CannotServe(f"{model} is another service of Bedrock's than its models")
    if (arn := _ARN_REGION.match(model)) is not None:
        return arn["region"], model
    match = _BEDROCK_ROUTE.match(model)
    assert match is not None  # every part of it may be absent
    return match["region"], model[match.end() :]


def value_of(environment: Environment, variables: tuple[str, ...]) -> str | None:
    variable = environment.first_set(variables)
    if variable is None:
        return None
    return environment[variable]

"""Deployments, and their credentials, of the entries of `model_list`."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from tollgate.core.entities import Deployment
from tollgate.core.errors import SettingsError
from tollgate.core.stream_usage import StreamUsage
from tollgate.settings.environment import AWS_CREDENTIALS, variable_of
from tollgate.settings.page_sections import LitellmParams, ModelEntry
from tollgate.settings.provider_defaults import DEFAULT_API_BASES, TELL_COST, VERTEX_GLOBAL
from tollgate.settings.validated import Credential

AWS_VARIABLES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
"""Where Envoy looks for AWS credentials by itself."""


def deployment_of(entry: ModelEntry, taken: set[str]) -> Deployment:
    """Return the deployment of an entry. `taken`: the ids of others. Raises SettingsError."""
    name, params = entry.model_name, entry.litellm_params
    # LiteLLM's rule: `provider/model`; a name without a provider is OpenAI's.
    provider, slash, model = params.model.partition("/")
    if not slash:
        provider, model = "openai", params.model
    api_base = _api_base(name, provider, params)
    trust = entry.model_info.trust_provider_cost
    identity = entry.model_info.id or name
    number = 2
    while identity in taken:
        identity, number = f"{entry.model_info.id or name}-{number}", number + 1
    return Deployment(
        id=identity,
        model_name=name,
        provider=provider,
        model=model,
        api_base=api_base,
        max_output_tokens=entry.model_info.max_output_tokens,
        mode=entry.model_info.mode,
        access_groups=entry.model_info.access_groups,
        weight=params.weight,
        api_version=params.api_version,
        region=params.aws_region_name,
        vertex_project=params.vertex_project,
        vertex_location=params.vertex_location,
        pass_credentials=params.pass_credentials or entry.model_info.pass_credentials,
        stream_usage=StreamUsage.of(provider, params.additional_drop_params or ()),
        base_model=entry.model_info.base_model,
        trust_provider_cost=provider in TELL_COST if trust is None else trust,
    )


def _api_base(name: str, provider: str, params: LitellmParams) -> str:
    """Where the deployment is. Raises SettingsError when neither the file nor the provider's own address says."""
    api_base, places = params.api_base, {"region": params.aws_region_name, "vertex_location": params.vertex_location}
    if api_base is None:
        api_base = DEFAULT_API_BASES.get(provider, "")
        if provider == "vertex_ai" and params.vertex_location == "global":
            api_base = VERTEX_GLOBAL
        for place, value in places.items():
            if f"{{{place}}}" in api_base and value is None:
                option = "aws_region_name" if place == "region" else place
                raise SettingsError(f"model_list: {name}: set litellm_params.{option} or litellm_params.api_base")
            api_base = api_base.replace(f"{{{place}}}", value or "")
    parts = urlsplit(api_base)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SettingsError(
            f"model_list: {name}: api_base {params.api_base!r} is not an http or https address"
            if params.api_base
            else f"model_list: {name}: provider {provider!r} has no default address; set litellm_params.api_base"
        )
    if provider == "bedrock" and params.api_key is None and params.aws_region_name is None:
        raise SettingsError(f"model_list: {name}: requests are signed for a region; set litellm_params.aws_region_name")
    return api_base.rstrip("/")


def find_credential(params: LitellmParams, environment: Mapping[str, str], number: int) -> Credential | None:
    """What the file says of the deployment's credential, if it says anything."""
    if params.api_key:
        return _credential(params.api_key, number)
    given = {name: text for name in AWS_CREDENTIALS if (text := getattr(params, name))}
    if not given:
        return None
    found = {
        name: environment.get(variable) if (variable := variable_of(text)) else text for name, text in given.items()
    }
    # Workers are not told the providers' keys, so that one may be missing here is no fault; `up` reports it.
    whole = None if None in found.values() else "".join(f"{name}={text}\n" for name, text in found.items())
    return Credential(f"TOLLGATE_AWS_CREDENTIALS_{number}", whole and f"[default]\n{whole}", aws=True)


def _credential(api_key: str, number: int) -> Credential:
    if variable := variable_of(api_key):
        return Credential(variable)
    return Credential(f"TOLLGATE_PROVIDER_KEY_{number}", api_key)

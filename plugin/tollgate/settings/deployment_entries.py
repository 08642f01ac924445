"""Turn the entries of `model_list` into deployments and their credentials."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

from tollgate.core.entities import NO_LIMITS, LimitSet
from tollgate.core.errors import BadRequest, SettingsError
from tollgate.core.models.deployment import Deployment
from tollgate.core.models.makers import patterns_of_makers
from tollgate.core.models.stream_usage import StreamUsage
from tollgate.core.money.costs import (
    OwnPrice,
    costs_of,
    name_instead_of_zero,
    picture_costs_of,
)
from tollgate.settings import provider_defaults as defaults
from tollgate.settings.capacity import limits_of, weights_of
from tollgate.settings.environment import Environment, variable_of
from tollgate.settings.page_sections import LitellmParams, ModelEntry
from tollgate.settings.sections import AWS_CREDENTIALS, Faults
from tollgate.settings.upstreams.provider_names import (
    CannotServe,
    provider_of,
    routed,
    value_of,
)
from tollgate.settings.upstreams.upstream_addresses import upstream_address
from tollgate.settings.validated import Credential

AWS_VARIABLES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
"""Variables from which Envoy itself takes AWS credentials."""


@dataclass(slots=True)
class Deployed:
    """The deployments of a file, and what belongs to each by its id.

    `limits`: those of a deployment with any, and the id under which they are counted.
    `notices` are about unclear entries, `warnings` about deployments that are not served.
    """

    deployments: list[Deployment] = field(default_factory=list)
    credentials: dict[str, Credential] = field(default_factory=dict)
    prices: dict[str, OwnPrice] = field(default_factory=dict)
    limits: dict[str, tuple[str, LimitSet]] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def deploy(
    entries: tuple[ModelEntry, ...],
    environment: Environment,
    faults: Faults,
    most_calls: int | None = None,
    timeout_seconds: float | None = None,
) -> Deployed:
    """Build the deployments; one without a known address is left out.

    `most_calls`, `timeout_seconds`: calls at once, and how long a provider may be silent, of each
    deployment that does not say it.
    """
    found = Deployed()
    taken: set[str] = set()
    shared: dict[int, str] = {}
    weights = weights_of(entries)
    parts = ((n, part) for n, each in enumerate(entries) for part in _by_provider(each))
    for number, entry in parts:
        where = f"model_list: {entry.model_name}"
        try:
            _check_servable(entry)
            if (name := entry.litellm_params.litellm_credential_name) is not None:
                found.warnings.append(
                    f"{where}: credential_list has no credential named {name!r}; the key and the"
                    " address are those of the entry, or of the provider's usual variables"
                )
            limits = limits_of(entry.litellm_params, most_calls)
            deployment = _deployment(
                entry, environment, _free_id(entry, taken), weights[number], found.notices
            )
        except (SettingsError, BadRequest) as error:
            faults.add(where, str(error))
            continue
        except CannotServe as error:
            found.warnings.append(f"{where}: {error}; it is left out")
            continue
        if deployment.timeout_seconds is None:
            deployment = replace(deployment, timeout_seconds=timeout_seconds)
        taken.add(deployment.id)
        found.deployments.append(deployment)
        if limits is not NO_LIMITS:
            found.limits[deployment.id] = shared.setdefault(number, deployment.id), limits
        params = entry.litellm_params
        found.prices[deployment.id] = _own_price(entry, found.notices)
        if not deployment.pass_credentials:
            _add_credential(found, deployment, params, environment)
    # Last: the variables of written keys are numbered by the entries of the file alone.
    for deployment in tuple(found.deployments):
        if (beside := _compatible(deployment)) is not None:
            _add_beside(found, deployment, beside)
    return found


def _own_price(entry: ModelEntry, notices: list[str]) -> OwnPrice:
    """Return the price of an entry as it states it.

    Prices of zero beside one that is not served (of a second of video) mean that calls are paid by
    that one. They are not taken: calls would be free.
    """
    params, info = entry.litellm_params, entry.model_info
    base_model = info.base_model or params.base_model or _name_of_profile(params)
    given = {**info.extra, **params.extra}
    pictures = picture_costs_of(given, info.mode)
    instead = name_instead_of_zero(given)
    if instead is None or pictures:
        return OwnPrice(costs_of(given), base_model, pictures)
    notices.append(
        f"model_list: {entry.model_name}: prices of zero are not taken beside {instead}, which is"
        " not served: calls cost what the price table knows, else the model has no price"
    )
    return OwnPrice({}, base_model)


def _name_of_profile(params: LitellmParams) -> str | None:
    """Return the model behind an inference profile, whose ARN the price table cannot know."""
    return params.model.rpartition("/")[2] if params.model_id else None


def _check_servable(entry: ModelEntry) -> None:
    """Raise CannotServe for an entry whose calls would go elsewhere than its owner meant."""
    params = entry.litellm_params
    if entry.paused or entry.model_info.blocked:
        raise CannotServe("blocked is true")
    if params.mock_response is not None:
        raise CannotServe("mock_response: replies of the gateway's own are not served")


def _by_provider(entry: ModelEntry) -> Iterator[ModelEntry]:
    """Yield an entry for each provider that a caller may name, where the model is `*` alone.

    LiteLLM infers the provider of such a call from the model that it asks for, `PROVIDER/MODEL` or
    the name of a model of a known maker: https://docs.litellm.ai/docs/wildcard_routing. A name of
    no known maker is OpenAI's. An address or a key of its own makes it one provider's entry.
    """
    params = entry.litellm_params
    whoever = params.model == "*" and entry.model_name.count("*") == 1
    if not whoever or params.api_base or params.api_key or params.custom_llm_provider:
        yield entry
        return
    named = [(f"{provider}/*", f"{provider}/*") for provider in defaults.NAMED_BY_CALLERS]
    made = [
        (pattern, f"{maker}/{pattern}")
        for maker, pattern in patterns_of_makers()
        if maker != "openai"
    ]
    for name, model in [*named, *made, ("*", "openai/*")]:
        yield replace(
            entry,
            model_name=entry.model_name.replace("*", name),
            litellm_params=params.model_copy(update={"model": model}),
        )


def _compatible(deployment: Deployment) -> Deployment | None:
    """Return the same model at its vendor's OpenAI-compatible endpoint.

    None if the vendor has no such endpoint, or does not serve the model there.
    """
    path = defaults.COMPATIBLE_PATHS.get(deployment.provider)
    model = _compatible_model(deployment)
    if path is None or model is None:
        return None
    parts = urlsplit(deployment.api_base)
    before = re.sub(r"(/openai)?(/v[12]\w*)?$", "", parts.path)
    path = path.format(
        vertex_project=deployment.vertex_project, vertex_location=deployment.vertex_location
    )
    base_model = deployment.base_model
    if model != deployment.model and "*" not in model:
        base_model = deployment.known_as
    return replace(
        deployment,
        id=f"{deployment.id}+openai",
        model=model,
        api_base=f"{parts.scheme}://{parts.netloc}{before}{path}",
        base_model=base_model,
        compatible=True,
    )


def _compatible_model(deployment: Deployment) -> str | None:
    """Return the model's name at that endpoint; None if it does not serve the model.

    Bedrock's serves OpenAI's models, Vertex' Google's, which it wants to be named so.
    """
    model = deployment.model
    if deployment.provider == "bedrock":
        if "openai." in model or "*" in model:
            return model
        return None
    if deployment.provider == "vertex_ai":
        placed = deployment.vertex_project and deployment.vertex_location
        google = model.startswith(("gemini", "google/", "*"))
        if placed and google:
            return f"google/{model.removeprefix('google/')}"
        return None
    return model


def _add_beside(found: Deployed, deployment: Deployment, beside: Deployment) -> None:
    """Add a second deployment of a model, with the same key and price."""
    found.deployments.append(beside)
    price = found.prices[deployment.id]
    found.prices[beside.id] = replace(price, base_model=price.base_model or beside.base_model)
    if deployment.id in found.limits:
        found.limits[beside.id] = found.limits[deployment.id]
    if deployment.id in found.credentials:
        found.credentials[beside.id] = found.credentials[deployment.id]


def _free_id(entry: ModelEntry, taken: set[str]) -> str:
    wanted = identity = entry.model_info.id or entry.model_name
    number = 2
    while identity in taken:
        identity, number = f"{wanted}-{number}", number + 1
    return identity


def _deployment(
    entry: ModelEntry, environment: Environment, identity: str, weight: int, notices: list[str]
) -> Deployment:
    """Return the deployment of an entry.

    Raises SettingsError or CannotServe.
    """
    name, params, info = entry.model_name, entry.litellm_params, entry.model_info
    provider, model = provider_of(name, params, environment, notices)
    if not model:
        raise CannotServe(f"litellm_params.model names no model of {provider}")
    region, model = routed(provider, params.model_id or model)
    region = params.aws_region_name or region or _region(name, provider, environment, notices)
    vertex_project, vertex_location = params.vertex_project, params.vertex_location
    if provider == "vertex_ai":
        vertex_project = vertex_project or value_of(environment, defaults.VERTEX_PROJECTS)
        vertex_location = vertex_location or value_of(environment, defaults.VERTEX_LOCATIONS)
        own_address = params.api_base or environment.first_set(defaults.base_variables(provider))
        if vertex_location is None and not own_address:
            # Google's address contains a location; at any other address the client's own is kept.
            vertex_location = defaults.DEFAULT_VERTEX_LOCATION
            notices.append(f"model_list: {name}: no vertex_location, so it is {vertex_location}")
    address = upstream_address(
        provider, _api_base(provider, params, environment, region, vertex_location)
    )
    trust = info.trust_provider_cost
    return Deployment(
        id=identity,
        model_name=name,
        provider=provider,
        model=address.deployment or model,
        api_base=address.api_base,
        max_output_tokens=info.max_output_tokens,
        max_input_tokens=info.max_input_tokens,
        mode=info.mode,
        access_groups=info.access_groups,
        weight=weight,
        timeout_seconds=params.timeout,
        api_version=params.api_version
        or address.api_version
        or _api_version(provider, environment),
        region=region,
        vertex_project=vertex_project,
        vertex_location=vertex_location,
        pass_credentials=params.pass_credentials or info.pass_credentials,
        added=info.db_model,
        stream_usage=StreamUsage.of(provider, params.additional_drop_params or ()),
        trust_provider_cost=provider in defaults.TELL_COST if trust is None else trust,
    )


def _region(name: str, provider: str, environment: Environment, notices: list[str]) -> str | None:
    if provider != "bedrock":
        return None
    region = value_of(environment, defaults.AWS_REGIONS)
    if region is None:
        region = defaults.DEFAULT_AWS_REGION
        notices.append(
            f"model_list: {name}: no aws_region_name and no AWS_REGION_NAME, so it is {region}"
        )
    return region


def _api_version(provider: str, environment: Environment) -> str | None:
    return value_of(environment, defaults.AZURE_VERSIONS) if provider == "azure" else None


def _api_base(
    provider: str,
    params: LitellmParams,
    environment: Environment,
    region: str | None,
    vertex_location: str | None,
) -> str:
    """Return the deployment's address: from the file, a usual variable, or the provider's default.

    Raises SettingsError or CannotServe.
    """
    variables = defaults.base_variables(provider)
    variable, origin = environment.first_set(variables), "api_base"
    if params.api_base is not None:
        api_base = params.api_base
    elif variable is not None:
        api_base, origin = environment[variable], variable
    else:
        api_base = defaults.API_BASES.get(provider, "")
        if not api_base:
            raise CannotServe(
                f"set litellm_params.api_base or {variables[0]}: {provider} has no address of"
                " its own"
            )
        if provider == "vertex_ai" and vertex_location == "global":
            api_base = defaults.VERTEX_GLOBAL
        api_base = api_base.format(region=region, vertex_location=vertex_location)
    if "@" in api_base.partition("://")[2].partition("/")[0]:
        raise SettingsError(
            f"{origin} holds a user or a password, which Envoy does not send; use api_key"
        )
    if not _is_address(api_base):
        raise SettingsError(
            f"{origin}: must be an http:// or https:// address with a host, and a port from 1 to"
            f" 65535 if it names one (got {api_base!r})"
        )
    return api_base.rstrip("/")


def _is_address(api_base: str) -> bool:
    """Return whether Envoy can call an address: the scheme, host and port are usable."""
    if "os.environ/" in api_base:  # the name of a variable counts as a whole value only
        return False
    try:
        parts = urlsplit(api_base)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return False
    usable = host.isascii() and host.isprintable() and " " not in host
    # Names have at most 253 characters (RFC 1035).
    return parts.scheme in ("http", "https") and usable and 0 < len(host) <= 253 and port != 0


def _add_credential(
    found: Deployed, deployment: Deployment, params: LitellmParams, environment: Environment
) -> None:
    credential = _find_credential(deployment.provider, params, environment, len(found.credentials))
    if credential is not None:
        found.credentials[deployment.id] = credential
    elif deployment.provider == "bedrock":
        for name in AWS_VARIABLES:
            if name in environment:
                found.credentials[name] = Credential(name, environment.origin(name)[1])


def _find_credential(
    provider: str, params: LitellmParams, environment: Environment, number: int
) -> Credential | None:
    """Return the deployment's credential: the file's, or the provider's usual variable if it is
    set.
    """
    if params.api_key:
        variable = variable_of(params.api_key)
        if variable is not None:
            return Credential(*environment.origin(variable))
        return Credential(f"TOLLGATE_PROVIDER_KEY_{number}", params.api_key)
    given = {name: text for name in AWS_CREDENTIALS if (text := getattr(params, name))}
    if not given:
        usual = environment.first_set(defaults.key_variables(provider))
        if usual is None:
            return None
        return Credential(*environment.origin(usual))
    found = {name: _text(text, environment) for name, text in given.items()}
    # Workers do not get the providers' keys, so a missing variable is no fault here; `up` reports
    # it.
    whole = (
        None
        if None in found.values()
        else "".join(f"{name}={text}\n" for name, text in found.items())
    )
    return Credential(
        f"TOLLGATE_AWS_CREDENTIALS_{number}", whole and f"[default]\n{whole}", aws=True
    )


def _text(text: str, environment: Environment) -> str | None:
    variable = variable_of(text)
    if variable is None:
        return text
    return environment.get(variable)

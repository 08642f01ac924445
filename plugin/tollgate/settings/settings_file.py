"""Read and validate a configuration file; the entry point of this package."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from tollgate.core.errors import SettingsError, cut
from tollgate.core.models.probe_model import PROBE
from tollgate.core.models.wildcards import Wildcards
from tollgate.core.requests.catalog import Alias
from tollgate.settings.capacity import provider_limits
from tollgate.settings.deployment_entries import Deployed, deploy
from tollgate.settings.entries.dimension_settings import with_customer_headers
from tollgate.settings.entries.priority_settings import prioritised
from tollgate.settings.entries.router_entries import EVERY_MODEL, Cooldown, retries_of
from tollgate.settings.entries.upstream_limits import upstreams_of
from tollgate.settings.environment import Environment
from tollgate.settings.included import read_document
from tollgate.settings.notices import find_notices, find_unenforced
from tollgate.settings.own_section import TollgateSettings
from tollgate.settings.page_sections import (
    RATES,
    TOKEN_RATES,
    GeneralSettings,
    LitellmParams,
    LitellmSettings,
    ModelEntry,
    ModelInfo,
    RouterSettings,
    SettingsFile,
)
from tollgate.settings.sections import Faults, look_up, read_section
from tollgate.settings.upstreams.credential_entries import Credentials, read_credentials
from tollgate.settings.validated import PROBE_PRICE, Settings

# LiteLLM's DEFAULT_ALLOWED_FAILS and DEFAULT_COOLDOWN_TIME_SECONDS.
_ALLOWED_FAILS, _COOLDOWN_SECONDS = 3, 5.0
_MASTER_KEY = "LITELLM_MASTER_KEY"
_MIB = 1024 * 1024
_RATES = (*RATES, *TOKEN_RATES)
_ENTRY = ("model_name", "litellm_params", "model_info", "blocked", *_RATES)

T = TypeVar("T", bound=BaseModel)
N = TypeVar("N", int, float)


def load(
    path: Path, environment: Mapping[str, str] | None = None, *, allow_unenforced: bool = False
) -> Settings:
    """Read and validate a file with its includes.

    `allow_unenforced` turns settings that restrict callers and are not served from faults into
    notices. Raises SettingsError with one line per fault, naming the field and what would be right.
    """
    try:
        return validated(
            read_document(path),
            os.environ if environment is None else environment,
            allow_unenforced=allow_unenforced,
        )
    except Invalid as error:
        raise SettingsError("\n".join(f"{path}: {each}" for each in error.faults)) from error


class Invalid(SettingsError):
    """A document has faults, one line each."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


def validated(
    document: Mapping[str, Any], environment: Mapping[str, str], *, allow_unenforced: bool = False
) -> Settings:
    """Validate a document that was read. Raises Invalid; otherwise as load()."""
    faults, document = Faults(), dict(document)
    given = document.pop("environment_variables", None)
    if given is not None and not isinstance(given, dict):
        faults.add("environment_variables", "must be a mapping of names to values")
        given = None
    variables = Environment(environment, given)
    file = _read(document, variables, faults)
    most_calls = file.router.default_max_parallel_requests
    if most_calls is None:
        most_calls = file.general.max_parallel_requests
    timeout_seconds = file.router.timeout or file.litellm.request_timeout
    deployed = deploy(file.models, variables, faults, most_calls, timeout_seconds)
    by_provider, wrong = provider_limits(file.router.provider_budget_config)
    faults += wrong
    unenforced = find_unenforced(file)
    if not allow_unenforced:
        faults += [f"{each} (--allow-unenforced starts without it)" for each in unenforced]
    if faults:
        raise Invalid(list(faults))
    settings = _settings(file, deployed, variables, document, unenforced)
    limits = prioritised(
        file.litellm.priority_reservation,
        file.litellm.priority_reservation_settings,
        settings.deployments,
        deployed.limits,
    )
    upstreams = upstreams_of(settings.deployments, limits, by_provider)
    fallbacks, unknown = _fallbacks(file, settings)
    longer, unknown_longer = _known(
        file.router.context_window_fallbacks or file.litellm.context_window_fallbacks,
        settings,
        "context_window_fallbacks",
    )
    settings = replace(
        settings,
        upstreams=upstreams,
        fallbacks=fallbacks,
        context_fallbacks=longer,
        retries=retries_of(
            _first(file.router.num_retries, file.litellm.num_retries), file.router.retry_policy
        ),
        cooldown=_cooldown(file),
        administrators_console=file.general.ui_access_mode == "admin_only",
        notices=(*settings.notices, *unknown, *unknown_longer, *_endless(settings, longer)),
    )
    return settings.shadowed() if settings.tollgate.shadow else settings


def _first(*values: N | None) -> N | None:
    """Return the first value that is given: `router_settings` come before `litellm_settings`."""
    return next((each for each in values if each is not None), None)


def _cooldown(file: SettingsFile) -> Cooldown | None:
    """Return when deployments cool down, with LiteLLM's defaults for what is left out."""
    allowed = _first(file.router.allowed_fails, file.litellm.allowed_fails)
    seconds = _first(file.router.cooldown_time, file.litellm.cooldown_time)
    if file.router.disable_cooldowns or seconds == 0 or (allowed is None and seconds is None):
        return None
    return Cooldown(
        _ALLOWED_FAILS if allowed is None else allowed,
        _COOLDOWN_SECONDS if seconds is None else seconds,
    )


def _fallbacks(
    file: SettingsFile, settings: Settings
) -> tuple[dict[str, tuple[str, ...]], list[str]]:
    """Return the fallbacks by the models that they are for, and a notice for each name that no
    model has.
    """
    router, litellm = file.router, file.litellm
    given = dict(router.fallbacks or litellm.fallbacks)
    every = router.default_fallbacks or litellm.default_fallbacks
    if every:
        given.setdefault(EVERY_MODEL, every)
    return _known(given, settings, "fallbacks")


def _endless(settings: Settings, longer: Mapping[str, object]) -> list[str]:
    """Return a notice for each model with fallbacks for long prompts of which nobody knows what
    is too long.
    """
    known = {each.model_name for each in settings.deployments if each.max_input_tokens is not None}
    return [
        f"context_window_fallbacks: {name} has no model_info.max_input_tokens, so none of its"
        " prompts is too long"
        for name in longer
        if name != EVERY_MODEL and name not in known
    ]


def _known(
    given: Mapping[str, tuple[str, ...]], settings: Settings, field: str
) -> tuple[dict[str, tuple[str, ...]], list[str]]:
    """Return fallbacks by the models that they are for, and a notice for each name that no model
    has. `field`: its name in the file.
    """
    served = {each.model_name for each in settings.deployments}
    wildcards = Wildcards(served)

    def is_known(name: str) -> bool:
        aliased = settings.aliases.get(name)
        model = name if aliased is None else aliased.model
        return model in served or wildcards.find_wildcard(model) is not None

    named = [*(name for name in given if name != EVERY_MODEL), *chain(*given.values())]
    unknown = [
        f"{field}: {name} is not a model of the list"
        for name in dict.fromkeys(named)
        if not is_known(name)
    ]
    aliases = settings.aliases
    found = {aliases[name].model if name in aliases else name: each for name, each in given.items()}
    return found, unknown


def _read(document: dict[str, Any], variables: Environment, faults: Faults) -> SettingsFile:
    def section(kind: type[T], name: str) -> T:
        return (
            read_section(kind, document.get(name), name, variables, faults)
            or kind.model_construct()
        )

    return SettingsFile(
        models=_models(
            document.get("model_list"),
            read_credentials(document.get("credential_list"), faults),
            variables,
            faults,
        ),
        general=section(GeneralSettings, "general_settings"),
        litellm=section(LitellmSettings, "litellm_settings"),
        router=section(RouterSettings, "router_settings"),
        tollgate=section(TollgateSettings, "tollgate"),
        others={
            name: value
            for name, value in document.items()
            if value is not None
            and name
            not in (
                "credential_list",
                "model_list",
                "general_settings",
                "litellm_settings",
                "router_settings",
                "tollgate",
            )
        },
    )


def _models(
    given: object, credentials: Credentials, variables: Environment, faults: Faults
) -> tuple[ModelEntry, ...]:
    if given is None:
        return ()
    if not isinstance(given, list):
        faults.add("model_list", f"must be a list of models (got {cut(repr(given))})")
        return ()
    found = (
        _model(each, number, credentials, variables, faults) for number, each in enumerate(given)
    )
    return tuple(each for each in found if each is not None)


def _model(
    given: object, number: int, credentials: Credentials, variables: Environment, faults: Faults
) -> ModelEntry | None:
    if not isinstance(given, dict):
        faults.add(
            f"model_list.{number}",
            f"must be a mapping with model_name and litellm_params (got {cut(repr(given))})",
        )
        return None
    before = len(faults)
    name = look_up(given.get("model_name"), f"model_list.{number}.model_name", variables, faults)
    if not isinstance(name, str) or not name:
        faults.add(f"model_list.{number}.model_name", f"must be a name (got {cut(repr(name))})")
        name = str(number)
    where = f"model_list: {name}"
    params = read_section(
        LitellmParams, _params(given, credentials), f"{where}: litellm_params", variables, faults
    )
    info = read_section(
        ModelInfo, given.get("model_info"), f"{where}: model_info", variables, faults
    )
    if params is None or info is None or len(faults) > before:
        return None
    return ModelEntry(
        name,
        params,
        info,
        tuple(str(each) for each in given if each not in _ENTRY),
        paused=given.get("blocked") is True,
    )


def _params(given: Mapping[str, Any], credentials: Credentials) -> object:
    """Return an entry's litellm_params, with its rates if they stand beside them, and with the
    values of the credential that they name.
    """
    params = given.get("litellm_params")
    if not isinstance(params, dict):
        return params
    if (values := credentials.get(str(params.get("litellm_credential_name")))) is not None:
        params = {**values, **params}
        del params["litellm_credential_name"]
    beside = {name: given[name] for name in _RATES if given.get(name) is not None}
    return {**beside, **params}


def _settings(
    file: SettingsFile,
    deployed: Deployed,
    variables: Environment,
    document: dict[str, Any],
    unenforced: list[str],
) -> Settings:
    master_key, named = (
        file.general.master_key,
        (document.get("general_settings") or {}).get("master_key"),
    )
    if not named:
        master_key = variables.get(_MASTER_KEY) or None
    aliases = {
        **{name: Alias(model) for name, model in file.litellm.model_alias_map.items()},
        **{
            name: Alias(each.model, each.hidden)
            for name, each in file.router.model_group_alias.items()
        },
    }
    served = {each.model_name for each in deployed.deployments}
    wildcards = Wildcards(served)
    lost = [
        name
        for name, each in aliases.items()
        if each.model not in served and not wildcards.find_wildcard(each.model)
    ]
    notices = [
        *variables.notices,
        *deployed.notices,
        *(
            f"router_settings.model_group_alias.{each}: {aliases[each].model} is not a model of the"
            " list"
            for each in lost
        ),
        *unenforced,
        *find_notices(file),
    ]
    if master_key is None:
        told = f"{named} is not set" if named else "not set"
        notices.append(f"general_settings.master_key: {told}, so nobody can administer keys")
    return Settings(
        master_key=master_key,
        litellm=file.litellm,
        tollgate=_with_limits(file),
        deployments=tuple(deployed.deployments),
        credentials=deployed.credentials,
        prices={**deployed.prices, PROBE.id: PROBE_PRICE},
        aliases={name: each for name, each in aliases.items() if name not in lost},
        notices=tuple(notices),
        warnings=tuple(deployed.warnings),
    )


def _with_limits(file: SettingsFile) -> TollgateSettings:
    """Return our section with what LiteLLM keeps elsewhere, unless it sets that itself."""
    general, ours = file.general, file.tollgate
    found: dict[str, object] = {}
    calls, size_mib = general.global_max_parallel_requests, general.max_request_size_mb
    if calls is not None and ours.proxy_max_parallel_requests is None:
        found["proxy_max_parallel_requests"] = calls
    if size_mib is not None and "max_request_bytes" not in ours.model_fields_set:
        found["max_request_bytes"] = int(size_mib * _MIB)
    if general.customer_headers:
        found["dimensions"] = with_customer_headers(ours.dimensions, general.customer_headers)
    return ours.model_copy(update=found) if found else ours

"""Reading a configuration file. All that is read of the file and of the environment is read from here."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from tollgate.core.costs import OwnPrice, costs_of
from tollgate.core.entities import Deployment
from tollgate.core.errors import SettingsError
from tollgate.settings.deployment_entries import AWS_VARIABLES, deployment_of, find_credential
from tollgate.settings.environment import expanded
from tollgate.settings.notices import notices
from tollgate.settings.page_sections import SettingsFile
from tollgate.settings.validated import Credential, Settings


def load(path: Path, environment: Mapping[str, str] | None = None) -> Settings:
    """Read and validate a file. Raises SettingsError with one line per fault, naming the field and what would be right."""
    environment = os.environ if environment is None else environment
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"cannot read {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(document, dict):
        raise SettingsError(
            f"{path} must hold a mapping with model_list, general_settings, litellm_settings or tollgate"
        )
    try:
        parsed = SettingsFile.model_validate(expanded(document, environment))
    except ValidationError as error:
        raise SettingsError("\n".join(f"{path}: {_fault(each)}" for each in error.errors())) from error
    return _settings(parsed, document, environment)


def _fault(error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"])
    shown = "" if isinstance(error.get("input"), dict) else f" (got {error.get('input')!r})"
    return f"{where}: {error['msg']}{shown}"


def _settings(parsed: SettingsFile, document: dict[str, Any], environment: Mapping[str, str]) -> Settings:
    deployments: list[Deployment] = []
    credentials: dict[str, Credential] = {}
    prices: dict[str, OwnPrice] = {}
    for entry in parsed.model_list:
        deployment = deployment_of(entry, taken={d.id for d in deployments})
        deployments.append(deployment)
        params = entry.litellm_params
        credential = None
        if not deployment.pass_credentials:
            credential = find_credential(params, environment, len(credentials))
        if credential is not None:
            credentials[deployment.id] = credential
        elif deployment.provider == "bedrock":
            credentials |= {name: Credential(name) for name in AWS_VARIABLES if name in environment}
        prices[deployment.id] = OwnPrice(costs_of(params.model_extra or {}), entry.model_info.base_model)
    return Settings(
        master_key=parsed.general_settings.master_key,
        litellm=parsed.litellm_settings,
        tollgate=parsed.tollgate,
        deployments=tuple(deployments),
        credentials=credentials,
        prices=prices,
        notices=tuple(notices(parsed, document)),
    )

"""`os.environ/NAME` in a file: the value of a variable of the environment."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tollgate.core.errors import SettingsError

AWS_CREDENTIALS = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
_CREDENTIALS = ("api_key", *AWS_CREDENTIALS)
_ENVIRONMENT = re.compile(r"^os\.environ/([A-Za-z_][A-Za-z0-9_]*)$")


def variable_of(text: str) -> str | None:
    """Return the variable that a text stands for; None: it is itself meant."""
    match = _ENVIRONMENT.match(text)
    return None if match is None else match[1]


def expanded(value: Any, environment: Mapping[str, str]) -> Any:
    """The document with `os.environ/NAME` replaced, credentials excepted: they go from the environment straight to Envoy."""
    if isinstance(value, dict):
        return {
            k: v if k in _CREDENTIALS else expanded(v, environment)
            for k, v in value.items()
            if not _is_unset_master_key(k, v, environment)
        }
    if isinstance(value, list):
        return [expanded(each, environment) for each in value]
    if isinstance(value, str) and (variable := variable_of(value)):
        if variable not in environment:
            raise SettingsError(f"{value}: the environment variable {variable} is not set")
        return environment[variable]
    return value


def _is_unset_master_key(name: object, value: object, environment: Mapping[str, str]) -> bool:
    """Whether the master key is to come from a variable that is not set here: nobody has it then, which is no fault of
    a file that is only looked at."""
    variable = variable_of(value) if name == "master_key" and isinstance(value, str) else None
    return variable is not None and variable not in environment

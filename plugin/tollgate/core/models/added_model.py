"""Define a model that was added over the API."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

SECRET: Final = MappingProxyType({"secret": True})
"""Metadata of a field that may be stored and never shown."""


@dataclass(frozen=True, slots=True)
class AddedModel:
    """A deployment that was added over the API: an entry of `model_list`.

    `params`, `info`: its sections as JSON. `secrets`: the credentials among its parameters, as
    JSON; no answer and no log shows them.
    """

    id: str
    model_name: str
    params: str = "{}"
    info: str = "{}"
    secrets: str = field(default="{}", metadata=SECRET)
    created_us: int = 0
    updated_us: int = 0

"""Say which of Tollgate's filters a route switches on."""

from __future__ import annotations

from typing import Final

from tollgate.core.envoy_contract import (
    AUTHZ_FILTER,
    CHANGES_FILTER,
    CLEAN_FILTER,
    EXT_PROC_FILTER,
    METER_FILTER,
    SECOND_LOOK_FILTER,
)
from tollgate.envoy_config.http_filters.verifying import verifying_names
from tollgate.envoy_config.literals import Json, typed
from tollgate.settings import Settings

LONGEST_REPLY_BYTES: Final = 128 * 1024 * 1024
"""Most bytes of a JSON reply of unknown length that Envoy holds to read its usage in native mode.

A longer reply becomes a 500. Parsing takes about seven times as much memory.
"""

_BEFORE = (CLEAN_FILTER, AUTHZ_FILTER, CHANGES_FILTER)
_METERING = {"grpc": (EXT_PROC_FILTER,), "native": (SECOND_LOOK_FILTER, METER_FILTER)}


def is_native(settings: Settings) -> bool:
    """Return whether Envoy talks to Tollgate in native mode."""
    return settings.tollgate.mode == "native"


def always_on(settings: Settings) -> tuple[str, ...]:
    """Return the names of the filters that every call of a model passes, in their order."""
    ours = settings.tollgate
    return (*verifying_names(ours), *_BEFORE, *_METERING[ours.mode])


def switched_on(settings: Settings) -> Json:
    """Return `typed_per_filter_config` of a route that enables all of them."""
    on = typed("envoy.config.route.v3.FilterConfig", config={})
    return dict.fromkeys(always_on(settings), on)

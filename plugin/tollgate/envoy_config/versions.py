"""Know what older Envoys lack: code that renders a newer feature asks here first.

| since | what | older ones | |---|---|---| | 1.40 | `clear_route_cache_headers` of ext_authz |
clear the route cache after each decision | | 1.40 | `priority_group` cluster specifier | do not
fail over between deployments | | 1.40 | `aws_eventstream_parser` | leave event streams to ext_proc
in native mode | | 1.38 | native mode: 1.37 has no `sse_to_metadata`, and words refusals of its own
| refuse to render it | | 1.38 | `allow_content_length_header` of ext_proc | send a changed reply
without its length |
"""

from __future__ import annotations

from tollgate.core.errors import SettingsError
from tollgate.core.usage.native import Framing
from tollgate.settings import TollgateSettings

ROUTE_CACHE_BY_HEADERS = PRIORITY_GROUP = "1.40"
CONTENT_LENGTH_KEPT = "1.38"
_NATIVE_MODE = "1.38"
_FILTERS = {Framing.EVENT_STREAM: "1.40"}


def has(ours: TollgateSettings, since: str) -> bool:
    """Return whether the configured Envoy is at least of a version."""
    return _minor(ours.envoy_version) >= _minor(since)


def reads(ours: TollgateSettings, framing: Framing) -> bool:
    """Return whether that Envoy has a filter that reads replies of that framing."""
    since = _FILTERS.get(framing)
    return since is None or has(ours, since)


def check_mode(ours: TollgateSettings) -> None:
    """Raise SettingsError where the Envoy cannot do what the mode needs."""
    if ours.mode == "native" and not has(ours, _NATIVE_MODE):
        raise SettingsError(
            f"tollgate.mode: native needs Envoy {_NATIVE_MODE} or later "
            f"(got envoy_version {ours.envoy_version}); grpc works with it"
        )


def _minor(version: str) -> int:
    return int(version.partition(".")[2])

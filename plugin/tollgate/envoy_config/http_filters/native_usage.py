"""Build native mode: Envoy's own filters read usage, and Tollgate is asked once, over HTTP/1.1.

The header `x-tollgate-meter` says per request who reads the reply: an API whose usage Envoy can
read, or ext_proc for anything else. An unneeded filter costs nothing, and routes are the same in
both modes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from envoy_data_plane.envoy.config.core.v3 import ApiVersion, HeaderValue, HttpUri
from envoy_data_plane.envoy.extensions.filters.http.ext_authz.v3 import (
    AuthorizationRequest,
    AuthorizationResponse,
    BufferSettings,
    ExtAuthz,
    HttpService,
)
from envoy_data_plane.envoy.type.matcher.v3 import ListStringMatcher, StringMatcher
from envoy_data_plane.envoy.type.v3 import HttpStatus, StatusCode

from tollgate.core.answers.headers import REQUEST_ID, SERVED_MODEL, SHADOW
from tollgate.core.callers.credentials import KEY_HEADERS
from tollgate.core.calls.decision import AS_JSON
from tollgate.core.calls.trace_context import TRACEPARENT
from tollgate.core.envoy_contract import (
    AUTHZ_FILTER,
    CHANGE_HEADER,
    EDITS,
    FIRST_PREFIX,
    HELD,
    HIDE,
    KEY_CHECK,
    KEY_CHECK_FILTER,
    KEY_CHECK_HEADER,
    LOGGED_PREFIX,
    METER_FILTER,
    METER_HEADER,
    READ_BY_EXT_PROC,
    REFUSAL_HEADERS,
    RESERVATION,
    ROUTE_HEADER,
    SECOND_LOOK_FILTER,
    STREAM_HEADER,
    TARGET,
    TOLD_PREFIXES,
    TUNNELLED_STATUSES,
    USAGE_NAMESPACE,
)
from tollgate.core.usage import Api
from tollgate.core.usage.native import (
    Framing,
    Names,
    counts_of_body,
    is_told_again,
    reader_name,
    rules_of,
)
from tollgate.core.usage.reach import framings_of
from tollgate.envoy_config.http_filters.chosen import (
    all_of,
    any_of,
    chosen,
    chosen_by_reply,
    filters,
    metadata_above_zero,
    not_,
    nothing,
    reply_header,
)
from tollgate.envoy_config.http_filters.verifying import verified_headers
from tollgate.envoy_config.literals import Json
from tollgate.envoy_config.typed_messages import decision_timeout, http_filter
from tollgate.envoy_config.versions import ROUTE_CACHE_BY_HEADERS, has, reads
from tollgate.settings import TollgateSettings
from tollgate.settings.entries.dimension_settings import customer_headers, dimensions_of

AUTHZ_CLUSTER = "tollgate_http"
"""The workers, as ext_authz calls them in native mode."""

_JSON_TYPE = r"(?i)application/json(\s*;.*)?"
_TYPES = {
    Framing.BODY: _JSON_TYPE,
    # sse_to_metadata compares content types literally.
    Framing.SSE: r"text/event-stream(\s*;.*)?",
    Framing.EVENT_STREAM: r"application/vnd\.amazon\.eventstream(\s*;.*)?",
}
# Ten million bytes or more: too long to hold.
_LONG = r"[1-9]\d{7,}"
# The request headers that Tollgate reads, beside those of dimensions.
_ASKED = (*KEY_HEADERS, "content-type", "content-encoding", STREAM_HEADER)
# Headers that resemble Authorization: the refusal of such a request mentions them.
_MISSPELT = StringMatcher(prefix="auth")
_SAID = (RESERVATION, EDITS, TARGET, HIDE, HELD, METER_HEADER)
_FRAMES = (
    "type.googleapis.com/envoy.extensions.filters.http"
    ".aws_eventstream_parser.v3.AwsEventstreamParser"
)
_SSE = "type.googleapis.com/envoy.extensions.filters.http.sse_to_metadata.v3.SseToMetadata"
_JSON = "type.googleapis.com/envoy.extensions.filters.http.json_to_metadata.v3.JsonToMetadata"
_PARSER = "type.googleapis.com/envoy.extensions.content_parsers.json.v3.JsonContentParser"
# One event of a stream holds a piece of a reply; Envoy's default of 8 KiB is too small for a tool's
# arguments.
_LONGEST_EVENT_BYTES = 1024 * 1024


def _exactly(*names: str) -> ListStringMatcher:
    return ListStringMatcher(patterns=[StringMatcher(exact=each) for each in names])


_COMMON: Final[Mapping[str, Any]] = {
    "transport_api_version": ApiVersion.V3,
    "failure_mode_allow": False,
    "status_on_error": HttpStatus(code=StatusCode.ServiceUnavailable),
    # Refusals are not errors of the provider.
    "charge_cluster_response_stats": False,
}


def _asked(ours: TollgateSettings) -> ListStringMatcher:
    """Return the request headers that Tollgate reads."""
    told = [
        *customer_headers(ours.dimensions),
        *(name for each in dimensions_of(ours.dimensions) for name in each.headers),
    ]
    traced = (TRACEPARENT,) if ours.opentelemetry_traces else ()
    names = (*_ASKED, *told, *verified_headers(ours), *traced)
    return ListStringMatcher(patterns=[*_exactly(*names).patterns, _MISSPELT])


def key_check(ours: TollgateSettings) -> Json:
    """Check the key before a long body is taken; admission asks again, with the body."""
    flag = HeaderValue(key=KEY_CHECK_HEADER, value=KEY_CHECK)
    service = HttpService(
        server_uri=_server(ours),
        authorization_request=AuthorizationRequest(headers_to_add=[flag]),
        authorization_response=AuthorizationResponse(allowed_client_headers=_told_refused()),
    )
    message = ExtAuthz(**_COMMON, allowed_headers=_asked(ours), http_service=service)
    return http_filter(KEY_CHECK_FILTER, message)


def admission(ours: TollgateSettings) -> Json:
    """Return the filter that admits requests, over HTTP."""
    response = AuthorizationResponse(
        allowed_upstream_headers=_exactly(ROUTE_HEADER, CHANGE_HEADER, METER_HEADER, AS_JSON.name),
        allowed_client_headers=_told_refused(),
        allowed_client_headers_on_success=_told(),
        dynamic_metadata_from_headers=ListStringMatcher(
            patterns=[*_exactly(*_SAID).patterns, StringMatcher(prefix=LOGGED_PREFIX)]
        ),
    )
    message = ExtAuthz(
        **_COMMON,
        allowed_headers=_asked(ours),
        http_service=HttpService(server_uri=_server(ours), authorization_response=response),
        validate_mutations=True,
        with_request_body=BufferSettings(
            max_request_bytes=ours.max_request_bytes, pack_as_bytes=True
        ),
        clear_route_cache=True,
    )
    return http_filter(AUTHZ_FILTER, message, **route_cache(ours))


def route_cache(ours: TollgateSettings) -> Json:
    """Choose the route anew only where admission has named a deployment, if Envoy can tell."""
    if has(ours, ROUTE_CACHE_BY_HEADERS):
        return {"clear_route_cache_headers": [ROUTE_HEADER]}
    return {}


def _server(ours: TollgateSettings) -> HttpUri:
    return HttpUri(uri="http://tollgate", cluster=AUTHZ_CLUSTER, timeout=decision_timeout(ours))


def _told() -> ListStringMatcher:
    return ListStringMatcher(
        patterns=[
            StringMatcher(prefix=each)
            for each in (*TOLD_PREFIXES, REQUEST_ID, SHADOW, SERVED_MODEL)
        ]
    )


def _told_refused() -> ListStringMatcher:
    return ListStringMatcher(patterns=[*_told().patterns, *_exactly(*REFUSAL_HEADERS).patterns])


def meter(ours: TollgateSettings, apis: Mapping[str, Api], ext_proc: Json) -> Json:
    """Return the filters that read the reply, selected by the header that ext_authz set.

    A reply with an unexpected framing goes to ext_proc instead; an error is read by nobody.
    """
    instead, failed = (
        filters(METER_FILTER, ext_proc),
        (reply_header(":status", "[45].."), nothing()),
    )
    fits = {framing: _fits(framing) for framing in Framing}
    readers = {
        reader_name(name, framing): chosen_by_reply(
            METER_FILTER,
            (fits[framing], filters(METER_FILTER, _reader(api, framing))),
            failed,
            otherwise=instead,
        )
        for name, api in apis.items()
        for framing in framings_of(api)
        if reads(ours, framing)
    }
    unread = {
        reader_name(name, framing): instead
        for name, api in apis.items()
        for framing in framings_of(api)
        if not reads(ours, framing)
    }
    choices = {name: filters(METER_FILTER, reader) for name, reader in readers.items()}
    return chosen(METER_FILTER, METER_HEADER, {**choices, **unread, READ_BY_EXT_PROC: instead})


def second_look(apis: Mapping[str, Api], ext_proc: Json) -> Json:
    """Return the filter that hands a JSON reply to ext_proc if Envoy's reader found no counts.

    The choice is made after the reply was held and read. Without counts, only the reply's contents
    say whether it costs anything: an error in a 200 does not, an answer does.
    """
    read = [api for api in apis.values() if Framing.BODY in framings_of(api)]
    looks = {api.name: filters(SECOND_LOOK_FILTER, _look(api, ext_proc)) for api in read}
    return chosen(SECOND_LOOK_FILTER, METER_HEADER, looks)


def _look(api: Api, ext_proc: Json) -> Json:
    # Nearly every reply has counts, and then no header is compared (1 us of Envoy).
    untold = all_of(not_(_tells(api)), _fits(Framing.BODY), reply_header(":status", "[123].."))
    return chosen_by_reply(SECOND_LOOK_FILTER, (untold, filters(SECOND_LOOK_FILTER, ext_proc)))


def _tells(api: Api) -> Json:
    groups = [
        any_of(*(metadata_above_zero(USAGE_NAMESPACE, each) for each in group))
        for group in counts_of_body(api)
    ]
    return all_of(*groups)


def _fits(framing: Framing) -> Json:
    """Match a reply that Envoy's filter for this framing can read.

    It has the right content type, is not compressed, and is not too long to hold.
    """
    plain = not_(reply_header("content-encoding", "(?i).*[a-z].*"))
    typed = reply_header("content-type", _TYPES[framing])
    if framing is not Framing.BODY:
        return all_of(typed, plain)
    return all_of(typed, plain, not_(reply_header("content-length", _LONG)))


def refusals_put_right() -> list[Json]:
    """Return mappers that restore the statuses of refusals that Envoy would not let through."""
    return [
        {
            "filter": {
                "status_code_filter": {
                    "comparison": {
                        "value": {"default_value": status, "runtime_key": "tollgate.tunnelled"}
                    }
                }
            },
            "status_code": meant,
            "body_format_override": {
                "text_format_source": {"inline_string": "%LOCAL_REPLY_BODY%"},
                "content_type": "application/json",
            },
        }
        for meant, status in TUNNELLED_STATUSES.items()
    ]


def logged_headers(apis: Mapping[str, Api]) -> list[str]:
    """Return the reply headers that report usage."""
    return sorted({header for api in apis.values() for header in api.headers.values()})


def _reader(api: Api, framing: Framing) -> Json:
    """Return Envoy's filter for one framing of an API's replies."""
    names = rules_of(api, framing)
    rules = [_rule(each) for each in names]
    if framing is Framing.BODY:
        types = {"regex": _JSON_TYPE}
        return _filter(
            "json_to_metadata", _JSON, {"rules": rules, "allow_content_types_regex": types}
        )
    rules += [_rule(each, first=True) for each in names if is_told_again(api, each)]
    parser = {
        "name": "envoy.content_parsers.json",
        "typed_config": {"@type": _PARSER, "rules": [{"rule": each} for each in rules]},
    }
    if framing is Framing.EVENT_STREAM:
        return _filter("aws_eventstream_parser", _FRAMES, {"content_parser": parser})
    return _filter(
        "sse_to_metadata", _SSE, {"content_parser": parser, "max_event_size": _LONGEST_EVENT_BYTES}
    )


def _filter(name: str, kind: str, response_rules: Json) -> Json:
    return {
        "name": f"envoy.filters.http.{name}",
        "typed_config": {"@type": kind, "response_rules": response_rules},
    }


def _rule(names: Names, *, first: bool = False) -> Json:
    """Return a rule under which later events replace earlier values, unless null or missing.

    `first` keeps the first value instead.
    """
    kept: Json = {
        "metadata_namespace": USAGE_NAMESPACE,
        "key": (FIRST_PREFIX if first else "") + ".".join(names),
    }
    if first:
        kept["preserve_existing_metadata_value"] = True
    return {"selectors": [{"key": each} for each in names], "on_present": kept}

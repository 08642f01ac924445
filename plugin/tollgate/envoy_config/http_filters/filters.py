"""Build the HTTP filters in order: what Envoy vouches for, key check of a long body, cleaning,
admission, edits, metering.

Each is disabled by default and enabled by the routes that need it, so that other hosts and routes
of the same connection manager are unaffected.
"""

from __future__ import annotations

from datetime import timedelta

from envoy_data_plane.envoy.config.common.mutation_rules.v3 import (
    HeaderMutation,
    HeaderMutationRemoveOnMatch,
)
from envoy_data_plane.envoy.config.core.v3 import (
    ApiVersion,
    HeaderValue,
    HeaderValueOption,
    HeaderValueOptionHeaderAppendAction,
)
from envoy_data_plane.envoy.extensions.filters.http.cors.v3 import Cors
from envoy_data_plane.envoy.extensions.filters.http.ext_authz.v3 import BufferSettings, ExtAuthz
from envoy_data_plane.envoy.extensions.filters.http.ext_proc.v3 import (
    ExternalProcessor,
    MetadataOptions,
    MetadataOptionsMetadataNamespaces,
    ProcessingMode,
    ProcessingModeBodySendMode,
    ProcessingModeHeaderSendMode,
)
from envoy_data_plane.envoy.extensions.filters.http.header_mutation.v3 import (
    HeaderMutation as HeaderMutations,
)
from envoy_data_plane.envoy.extensions.filters.http.header_mutation.v3 import Mutations
from envoy_data_plane.envoy.extensions.filters.http.router.v3 import Router
from envoy_data_plane.envoy.type.matcher.v3 import ListStringMatcher, StringMatcher
from envoy_data_plane.envoy.type.v3 import HttpStatus, StatusCode

from tollgate.core.envoy_contract import (
    AUTHZ_FILTER,
    CHANGE_HEADER,
    CHANGED,
    CHANGES_FILTER,
    CLEAN_FILTER,
    CORS_FILTER,
    EXT_PROC_FILTER,
    EXT_PROC_NAMESPACE,
    KEY_CHECK_FILTER,
    STREAM_HEADER,
)
from tollgate.core.requests.inflate import CODINGS
from tollgate.envoy_config.http_filters import native_usage as native
from tollgate.envoy_config.http_filters.chosen import chosen, filters
from tollgate.envoy_config.http_filters.inflating import inflating
from tollgate.envoy_config.http_filters.switched import is_native
from tollgate.envoy_config.http_filters.verifying import verifying_filters
from tollgate.envoy_config.literals import Json
from tollgate.envoy_config.typed_messages import (
    decision_timeout,
    http_filter,
    lua,
    stock_filter,
    tollgate_service,
)
from tollgate.envoy_config.versions import CONTENT_LENGTH_KEPT, check_mode, has
from tollgate.settings import Settings, TollgateSettings
from tollgate.shipped_tables import api_table

# The connection's number and the time in nanoseconds: unique to a request, and not under a client's
# control.
STREAM = "%CONNECTION_ID%-%START_TIME(%s%9f)%"


def http_filters(settings: Settings) -> list[Json]:
    """Every filter before the router, switched off. Raises SettingsError."""
    check_mode(settings.tollgate)
    return [each | {"disabled": True} for each in (*_optional(settings), *_always(settings))]


def router() -> Json:
    """Return the last filter."""
    return stock_filter("router", Router(suppress_envoy_headers=True))


def _optional(settings: Settings) -> list[Json]:
    """Return the filters that only some requests pass, enabled by their routes."""
    cors = [http_filter(CORS_FILTER, Cors())] if settings.tollgate.cors_origins else []
    return [
        *cors,
        *verifying_filters(settings.tollgate),
        native.key_check(settings.tollgate)
        if is_native(settings)
        else _key_check(settings.tollgate),
    ]


def _always(settings: Settings) -> list[Json]:
    if is_native(settings):
        readers = (
            native.second_look(api_table(), _ext_proc(settings.tollgate)),
            native.meter(settings.tollgate, api_table(), _ext_proc(settings.tollgate)),
        )
        return [_clean(), native.admission(settings.tollgate), _changes("reply"), *readers]
    return [_clean(), _ext_authz(settings.tollgate), _changes(), _ext_proc(settings.tollgate)]


def _clean() -> Json:
    """Remove Envoy's own request headers, by which a client could ask for costly retries, and name
    the request.
    """
    foreign = HeaderMutationRemoveOnMatch(key_matcher=StringMatcher(prefix="x-envoy-"))
    named = HeaderValueOption(
        header=HeaderValue(key=STREAM_HEADER, value=STREAM),
        append_action=HeaderValueOptionHeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD,
    )
    mutations = [HeaderMutation(remove_on_match=foreign), HeaderMutation(append=named)]
    message = HeaderMutations(mutations=Mutations(request_mutations=mutations))
    return http_filter(CLEAN_FILTER, message)


def _changes(*more: str) -> Json:
    """Run Lua only for requests that Tollgate marked, since it costs 27 us even if it does nothing.

    A compressed body is inflated first, because edits refer to the plain one.
    """
    change = lua("request", *more)
    chains = {CHANGED: (change,), **{coding: (*inflating(coding), change) for coding in CODINGS}}
    made = {value: filters(CHANGES_FILTER, *chain) for value, chain in chains.items()}
    return chosen(CHANGES_FILTER, CHANGE_HEADER, made)


_NOT_TOLD = ListStringMatcher(patterns=[StringMatcher(exact="cookie", ignore_case=True)])


def _key_check(ours: TollgateSettings) -> Json:
    """Check the key before a long body is taken; admission asks again, with the body."""
    service = tollgate_service()
    service.timeout = decision_timeout(ours)
    message = ExtAuthz(
        transport_api_version=ApiVersion.V3,
        grpc_service=service,
        failure_mode_allow=False,
        status_on_error=HttpStatus(code=StatusCode.ServiceUnavailable),
        disallowed_headers=_NOT_TOLD,
        charge_cluster_response_stats=False,
    )
    return http_filter(KEY_CHECK_FILTER, message)


def _ext_authz(ours: TollgateSettings) -> Json:
    service = tollgate_service()
    service.timeout = decision_timeout(ours)
    message = ExtAuthz(
        transport_api_version=ApiVersion.V3,
        grpc_service=service,
        failure_mode_allow=False,
        status_on_error=HttpStatus(code=StatusCode.ServiceUnavailable),
        validate_mutations=True,
        # As bytes, since text would change a body that is not UTF-8.
        with_request_body=BufferSettings(
            max_request_bytes=ours.max_request_bytes, pack_as_bytes=True
        ),
        disallowed_headers=_NOT_TOLD,
        # Refusals are not errors of the provider.
        charge_cluster_response_stats=False,
        clear_route_cache=True,
    )
    return http_filter(AUTHZ_FILTER, message, **native.route_cache(ours))


def _ext_proc(ours: TollgateSettings) -> Json:
    """Meter replies. Never refuses one, and lets them pass when Tollgate does not answer."""
    skip = ProcessingModeHeaderSendMode.SKIP
    message = ExternalProcessor(
        grpc_service=tollgate_service(),
        failure_mode_allow=True,
        message_timeout=timedelta(seconds=1),
        processing_mode=ProcessingMode(
            request_header_mode=skip,
            response_header_mode=ProcessingModeHeaderSendMode.SEND,
            request_body_mode=ProcessingModeBodySendMode.NONE,
            response_body_mode=ProcessingModeBodySendMode.NONE,
            request_trailer_mode=skip,
            response_trailer_mode=skip,
        ),
        # Tollgate decides for each reply how much of it to see.
        allow_mode_override=True,
        # Safe, because request bodies are never sent to ext_proc and so never changed by it.
        allow_content_length_header=has(ours, CONTENT_LENGTH_KEPT),
        disable_immediate_response=True,
        metadata_options=MetadataOptions(
            forwarding_namespaces=MetadataOptionsMetadataNamespaces(untyped=[AUTHZ_FILTER]),
            receiving_namespaces=MetadataOptionsMetadataNamespaces(untyped=[EXT_PROC_NAMESPACE]),
        ),
    )
    return http_filter(EXT_PROC_FILTER, message)

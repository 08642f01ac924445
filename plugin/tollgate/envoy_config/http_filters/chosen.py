"""Build a filter that resolves to others by a header, per request.

Filters that a request does not need cost it nothing. Tollgate's ext_authz sets the header, so it
must come before. If the reply matters as well, the choice is made when its headers arrive.
"""

from __future__ import annotations

from collections.abc import Mapping

from tollgate.envoy_config.literals import Json

_COMPOSITE = "type.googleapis.com/envoy.extensions.filters.http.composite.v3"
_MATCHER = "type.googleapis.com/envoy.extensions.common.matching.v3.ExtensionWithMatcher"
_SKIP = "type.googleapis.com/envoy.extensions.filters.common.matcher.action.v3.SkipFilter"
_REQUEST = "type.googleapis.com/envoy.type.matcher.v3.HttpRequestHeaderMatchInput"
_RESPONSE = "type.googleapis.com/envoy.type.matcher.v3.HttpResponseHeaderMatchInput"
_METADATA = (
    "type.googleapis.com/envoy.extensions.matching.common_inputs.network.v3.DynamicMetadataInput"
)
_METADATA_MATCHER = (
    "type.googleapis.com/envoy.extensions.matching.input_matchers.metadata.v3.Metadata"
)
_MOST = 1e15

Choice = Json
"""What follows if a header matches: a chain of filters, or none."""


def chosen(name: str, header: str, choices: Mapping[str, Choice]) -> Json:
    """Return the filter that a request's header selects.

    None for any other value, or without the header. A reply passes a chain from its end. A filter
    that holds the reply is the last to see it, since Envoy continues after the whole chain.
    """
    tree = {"input": _input(_REQUEST, header), "exact_match_map": {"map": dict(choices)}}
    return _becoming(name, {"matcher_tree": tree})


def chosen_by_reply(
    name: str, *cases: tuple[Json, Choice], otherwise: Choice | None = None
) -> Json:
    """Return the filter that the reply's headers select, by the first matching predicate.

    Only reply headers: at that time, request headers are those sent to the provider.
    """
    matchers = [{"predicate": predicate, "on_match": choice} for predicate, choice in cases]
    matcher: Json = {"matcher_list": {"matchers": matchers}}
    return _becoming(name, matcher if otherwise is None else matcher | {"on_no_match": otherwise})


def filters(name: str, *chain: Json) -> Choice:
    """Select a chain of filters."""
    execute = {
        "@type": f"{_COMPOSITE}.ExecuteFilterAction",
        "filter_chain": {"typed_config": list(chain)},
    }
    return {"action": {"name": name, "typed_config": execute}}


def nothing() -> Choice:
    """Select no filter."""
    return {"action": {"name": "skip", "typed_config": {"@type": _SKIP}}}


def reply_header(name: str, pattern: str) -> Json:
    """Match a whole reply header against a regular expression (RE2)."""
    match = {"safe_regex": {"google_re2": {}, "regex": pattern}}
    return {"single_predicate": {"input": _input(_RESPONSE, name), "value_match": match}}


def metadata_above_zero(namespace: str, key: str) -> Json:
    """Match a number in the dynamic metadata that is above zero when the reply's headers arrive."""
    path = {"@type": _METADATA, "filter": namespace, "path": [{"key": key}]}
    value = {
        "@type": _METADATA_MATCHER,
        "value": {"double_match": {"range": {"start": 1, "end": _MOST}}},
    }
    return {
        "single_predicate": {
            "input": {"name": key, "typed_config": path},
            "custom_match": {"name": "above_zero", "typed_config": value},
        }
    }


def any_of(*predicates: Json) -> Json:
    """Match if one of several predicates does."""
    if len(predicates) == 1:
        return predicates[0]
    return {"or_matcher": {"predicate": list(predicates)}}


def all_of(*predicates: Json) -> Json:
    """Match if each of several predicates does."""
    if len(predicates) == 1:
        return predicates[0]
    return {"and_matcher": {"predicate": list(predicates)}}


def not_(predicate: Json) -> Json:
    """Match if a predicate does not."""
    return {"not_matcher": predicate}


def _becoming(name: str, matcher: Json) -> Json:
    composite = {"name": "composite", "typed_config": {"@type": f"{_COMPOSITE}.Composite"}}
    config = {"@type": _MATCHER, "extension_config": composite, "xds_matcher": matcher}
    return {"name": name, "typed_config": config}


def _input(kind: str, header: str) -> Json:
    return {"name": header, "typed_config": {"@type": kind, "header_name": header}}

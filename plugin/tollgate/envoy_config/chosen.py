"""A filter that becomes others, which Tollgate chooses request by request with a header: what a request has no use for costs it nothing.

The choice is made when the request comes by on its way in, so ext_authz has to stand before it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tollgate.envoy_config.messages import Json

_COMPOSITE = "type.googleapis.com/envoy.extensions.filters.http.composite.v3"
_MATCHER = "type.googleapis.com/envoy.extensions.common.matching.v3.ExtensionWithMatcher"
_INPUT = "type.googleapis.com/envoy.type.matcher.v3.HttpRequestHeaderMatchInput"


def chosen(name: str, header: str, chains: Mapping[str, Sequence[Json]]) -> Json:
    """The chains of filters by the header's value; none of them where it has another, or is not there. A reply goes through a chain from
    its end; a filter that holds it is the last that sees it, since Envoy goes on after the whole chain."""
    composite = {"name": "composite", "typed_config": {"@type": f"{_COMPOSITE}.Composite"}}
    tree = {
        "input": {"name": header, "typed_config": {"@type": _INPUT, "header_name": header}},
        "exact_match_map": {"map": {value: _action(name, chain) for value, chain in chains.items()}},
    }
    config = {"@type": _MATCHER, "extension_config": composite, "xds_matcher": {"matcher_tree": tree}}
    return {"name": name, "typed_config": config}


def _action(name: str, chain: Sequence[Json]) -> Json:
    execute = {"@type": f"{_COMPOSITE}.ExecuteFilterAction", "filter_chain": {"typed_config": list(chain)}}
    return {"action": {"name": name, "typed_config": execute}}

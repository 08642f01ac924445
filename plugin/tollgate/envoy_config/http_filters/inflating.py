"""Build the filters that inflate a request's body.

They come after admission, which has already inflated the body within a bound, or refused it.
"""

from __future__ import annotations

from envoy_data_plane.envoy.config.common.mutation_rules.v3 import (
    HeaderMutation,
    HeaderMutationRemoveOnMatch,
)
from envoy_data_plane.envoy.config.core.v3 import RuntimeFeatureFlag
from envoy_data_plane.envoy.extensions.compression.gzip.decompressor.v3 import Gzip
from envoy_data_plane.envoy.extensions.compression.zstd.decompressor.v3 import Zstd
from envoy_data_plane.envoy.extensions.filters.http.decompressor.v3 import (
    Decompressor,
    DecompressorCommonDirectionConfig,
    DecompressorRequestDirectionConfig,
    DecompressorResponseDirectionConfig,
)
from envoy_data_plane.envoy.extensions.filters.http.header_mutation.v3 import (
    HeaderMutation as HeaderMutations,
)
from envoy_data_plane.envoy.extensions.filters.http.header_mutation.v3 import Mutations
from envoy_data_plane.envoy.type.matcher.v3 import StringMatcher

from tollgate.envoy_config.literals import Json
from tollgate.envoy_config.typed_messages import extension, stock_filter

UNBOUNDED = {"envoy.reloadable_features.enable_compression_bomb_protection": False}
"""Disables Envoy's own bound, which truncates a body silently at a hundred times its compressed
size.

The bound that applies is `max_request_bytes`.
"""

_CHUNK_BYTES = 64 * 1024
# Deflate cannot exceed 1032 to 1 (https://zlib.net/zlib_tech.html).
_LIBRARIES = {
    "gzip": extension("gzip", Gzip(chunk_size=_CHUNK_BYTES, max_inflate_ratio=1032)),
    "zstd": extension("zstd", Zstd(chunk_size=_CHUNK_BYTES)),
}


def inflating(coding: str) -> tuple[Json, ...]:
    """Return the filters for one content coding, for requests only.

    On replies, ext_proc would not terminate beside them.
    """
    never = RuntimeFeatureFlag(default_value=False, runtime_key="tollgate.inflate_replies")
    decompressor = Decompressor(
        decompressor_library=_LIBRARIES[coding],
        request_direction_config=DecompressorRequestDirectionConfig(
            # Admission ignored cache-control as well.
            common_config=DecompressorCommonDirectionConfig(ignore_no_transform_header=True),
            advertise_accept_encoding=False,
        ),
        response_direction_config=DecompressorResponseDirectionConfig(
            common_config=DecompressorCommonDirectionConfig(enabled=never)
        ),
    )
    # The decompressor reports its own counts in trailers.
    counts = HeaderMutationRemoveOnMatch(key_matcher=StringMatcher(prefix="x-envoy-decompressor-"))
    no_counts = Mutations(request_trailers_mutations=[HeaderMutation(remove_on_match=counts)])
    return (
        stock_filter("decompressor", decompressor),
        stock_filter("header_mutation", HeaderMutations(mutations=no_counts)),
    )

"""A request's body that came compressed, as it is without: whole, plain and bounded.

What Envoy sends on is inflated by Envoy.

Both must come to the same bytes, so of each coding only what leaves no choice is taken: one gzip
member or one zstd frame, and nothing after it. `deflate` is no such coding: some take raw bytes for
it, others those of zlib.
"""

from __future__ import annotations

import zlib
from typing import Final

from backports import zstd

from tollgate.core.errors import BadRequest, cut
from tollgate.core.usage.framing.encoding import ZSTD_WINDOW_LOG_MAX

CODINGS: Final = ("gzip", "zstd")
"""The content codings of bodies that are taken, as they stand in `content-encoding`: one at a time,
in lower case.
"""

_GZIP = 16 + zlib.MAX_WBITS


class TooLong(Exception):
    """The body is longer than it may be. It was not inflated further."""


def check_coding(coding: str) -> None:
    """Raise BadRequest for a `content-encoding` that is not taken."""
    if coding not in CODINGS:
        listed = ", ".join(CODINGS)
        raise BadRequest(
            f"The body must come plain, or in one content-encoding of {listed}, got {cut(coding)!r}."
        )


def inflate(raw: bytes, coding: str, most_bytes: int) -> bytes:
    """The body that a coding in CODINGS holds.

    Raises TooLong beyond `most_bytes`, and BadRequest for damaged bytes.
    """
    try:
        plain, ended = _OF[coding](raw, most_bytes + 1)
    except (zlib.error, zstd.ZstdError) as error:
        raise BadRequest(
            f"The body is not what its content-encoding {coding!r} says: {error}"
        ) from error
    if len(plain) > most_bytes:
        raise TooLong
    if not ended:
        raise BadRequest(
            f"The body must be one whole stream of its content-encoding {coding!r}, and nothing after it."
        )
    return plain


def _gzip(raw: bytes, most_bytes: int) -> tuple[bytes, bool]:
    inflater = zlib.decompressobj(_GZIP)
    plain = inflater.decompress(raw, most_bytes)
    return plain, inflater.eof and not inflater.unused_data


def _zstd(raw: bytes, most_bytes: int) -> tuple[bytes, bool]:
    inflater = zstd.ZstdDecompressor(
        options={zstd.DecompressionParameter.window_log_max: ZSTD_WINDOW_LOG_MAX}
    )
    plain = inflater.decompress(raw, most_bytes)
    return plain, inflater.eof and not inflater.unused_data


_OF = {"gzip": _gzip, "zstd": _zstd}

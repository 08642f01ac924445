"""Inflate a compressed request body within a bound.

Envoy inflates its own copy, which goes to the provider, and both must yield the same bytes.
Therefore only unambiguous input is accepted: one gzip member or one zstd frame, with nothing after
it. `deflate` is refused because servers disagree on whether it means raw or zlib data.
"""

from __future__ import annotations

import zlib
from typing import Final

from backports import zstd

from tollgate.core.errors import BadRequest, cut
from tollgate.core.usage.framing.encoding import ZSTD_WINDOW_LOG_MAX

CODINGS: Final = ("gzip", "zstd")
"""Accepted values of `content-encoding`: one coding at a time, in lower case."""

_GZIP = 16 + zlib.MAX_WBITS


class TooLong(Exception):
    """The body inflates to more than the limit; inflation stopped there."""


def check_coding(coding: str) -> None:
    """Raise BadRequest for a `content-encoding` that is not accepted."""
    if coding not in CODINGS:
        listed = " or ".join(CODINGS)
        raise BadRequest(
            f"The content-encoding of the body must be {listed}, or absent, got {cut(coding)!r}."
        )


def inflate(raw: bytes, coding: str, most_bytes: int) -> bytes:
    """Return the inflated body; `coding` is one of CODINGS.

    Raises TooLong beyond `most_bytes`, and BadRequest for damaged bytes.
    """
    try:
        plain, ended = _OF[coding](raw, most_bytes + 1)
    except (zlib.error, zstd.ZstdError) as error:
        raise BadRequest(
            f"The body does not match its content-encoding {coding!r}: {error}"
        ) from error
    if len(plain) > most_bytes:
        raise TooLong
    if not ended:
        raise BadRequest(f"The body must be exactly one complete {coding} stream.")
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

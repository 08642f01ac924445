"""Bodies that come compressed: what is taken of each coding, and within which bound."""

from __future__ import annotations

import gzip
from collections.abc import Callable

import pytest
from backports import zstd

from tollgate.core.errors import BadRequest
from tollgate.core.requests.inflate import CODINGS, TooLong, check_coding, inflate

PLAIN = b'{"model":"m","messages":' + bytes(range(32, 127)) * 2_000 + b"}"
DEFLATE: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "zstd": zstd.compress}


@pytest.mark.parametrize("coding", CODINGS)
def test_a_body_comes_out_as_it_was(coding: str) -> None:
    """Up to the bound, and not a byte beyond it."""
    raw = DEFLATE[coding](PLAIN)
    assert inflate(raw, coding, len(PLAIN)) == PLAIN
    with pytest.raises(TooLong):
        inflate(raw, coding, len(PLAIN) - 1)


@pytest.mark.parametrize("coding", CODINGS)
def test_a_bomb_is_not_held(coding: str) -> None:
    """Inflating ends at the bound."""
    with pytest.raises(TooLong):
        inflate(DEFLATE[coding](b"a" * 50_000_000), coding, 1_000)


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize(
    "change",
    [
        lambda raw: raw[:-1],
        lambda raw: raw[: len(raw) // 2],
        lambda raw: raw + b"x",
        lambda raw: raw + raw,
        lambda raw: raw[:0],
        lambda raw: b"{}" + raw,
    ],
)
def test_anything_but_one_whole_stream_is_refused(
    coding: str, change: Callable[[bytes], bytes]
) -> None:
    """Another reader might go on where one ends."""
    with pytest.raises(BadRequest, match=f"content-encoding '{coding}|complete {coding} stream"):
        inflate(change(DEFLATE[coding](PLAIN)), coding, 2 * len(PLAIN))


@pytest.mark.parametrize(
    "coding", ["deflate", "br", "x-gzip", "GZIP", "gzip, gzip", "identity", "gzip,zstd"]
)
def test_other_codings_are_refused_by_name(coding: str) -> None:
    """With those that would be right."""
    with pytest.raises(
        BadRequest, match=r"content-encoding of the body must be gzip or zstd, or absent, got"
    ):
        check_coding(coding)


def test_a_window_of_gigabytes_is_refused() -> None:
    """RFC 8878 leaves such frames to whoever wants them."""
    wide = {
        zstd.CompressionParameter.window_log: 27,
        zstd.CompressionParameter.content_size_flag: 0,
    }
    compressor = zstd.ZstdCompressor(options=wide)
    raw = compressor.compress(PLAIN) + compressor.flush()
    with pytest.raises(BadRequest, match="zstd"):
        inflate(raw, "zstd", 10_000_000)

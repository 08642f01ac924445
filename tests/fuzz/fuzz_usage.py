"""Fuzz the usage reader: whatever a reply holds and however it is cut, nothing raises, and the
bytes pass unchanged.
"""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["tollgate.core"]):
    from tollgate.core.limits.accounts import MAX_EXACT
    from tollgate.core.usage import UsageReader
    from tollgate.shipped_tables import api_table

TYPES = (
    "application/json",
    "text/event-stream",
    "application/x-ndjson",
    "application/vnd.amazon.eventstream",
    "",
)
ENCODINGS = ("identity", "gzip", "deflate", "br", "zstd", "other")
APIS = api_table()
NAMES = sorted(APIS)


def test_one(data: bytes) -> None:
    """One reply: the first bytes choose what it is said to be and how it is cut, the rest is its
    body.
    """
    if len(data) < 5:
        return
    api, content_type, encoding, step, hide = data[:5]
    body = data[5:]
    read = UsageReader(
        APIS[NAMES[api % len(NAMES)]],
        TYPES[content_type % len(TYPES)],
        ENCODINGS[encoding % 8 if encoding % 8 < len(ENCODINGS) else 0],
        hide_usage=bool(hide % 2),
        count=len if hide % 4 > 1 else None,
    )
    step = step or len(body) or 1
    seen = (
        b"".join([read.feed(body[start : start + step]) for start in range(0, len(body), step)])
        + read.finish()
    )
    usage = read.usage()
    assert hide % 2 or seen == body
    assert len(seen) <= len(body)
    assert read.seen_output_tokens >= 0
    if usage is not None:
        assert 0 <= usage.total_tokens <= MAX_EXACT
        assert 0 <= usage.reasoning_tokens <= usage.output_tokens
        cached = usage.cache_read_tokens + usage.cache_write_5m_tokens + usage.cache_write_1h_tokens
        assert 0 <= cached <= usage.input_tokens


if __name__ == "__main__":
    atheris.Setup(sys.argv, test_one)
    atheris.Fuzz()

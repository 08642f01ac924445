"""Compressed requests go up plain, and are bounded like others."""

from __future__ import annotations

import gzip
import json

import pytest
from backports import zstd
from tests.e2e.gateway import bearer
from tests.e2e.request_door import CHAT, FORM, Door, door, form, running

__all__ = ["door", "running"]

CODINGS = {"gzip": gzip.compress, "zstd": zstd.compress}


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize(
    ("content", "size"),
    [("hi", 0), ("数据" * 2_000, 12_000), ("0123456789abcdef" * 100_000, 1_600_000)],
    ids=["short", "longer", "a thousand to one"],
)
async def test_a_compressed_body_goes_up_plain(
    door: Door, coding: str, content: str, size: int
) -> None:
    """With its edits: the model is renamed, usage asked for.

    The rest is what the client compressed.
    """
    asked = {"model": "whisper", "stream": True, "messages": [{"role": "user", "content": content}]}
    raw = json.dumps(asked, ensure_ascii=False).encode()
    assert len(raw) >= size
    headers = {
        **bearer(await door.gateway.key()),
        "content-type": "application/json",
        "content-encoding": coding,
    }
    headers["cache-control"] = "no-transform"
    reply = await door.post(CHAT, headers, content=CODINGS[coding](raw))
    assert reply.status_code == 200, reply.text
    seen = door.took()
    assert json.loads(seen.body) == {
        **asked,
        "model": "whisper-1",
        "stream_options": {"include_usage": True},
    }
    assert "content-encoding" not in seen.headers
    assert int(seen.headers.get("content-length", len(seen.body))) == len(seen.body)


@pytest.mark.parametrize("coding", CODINGS)
async def test_a_compressed_body_without_edits_goes_up_plain(door: Door, coding: str) -> None:
    """Byte by byte as it was, forms too."""
    raw = b'{ "model" : "gpt-4o","messages":[] }'
    key = bearer(await door.gateway.key())
    headers = {**key, "content-type": "application/json", "content-encoding": coding}
    assert (await door.post(CHAT, headers, content=CODINGS[coding](raw))).status_code == 200
    seen = door.took()
    assert (seen.body, "content-encoding" in seen.headers) == (raw, False)
    headers["content-type"] = "multipart/form-data; boundary=REAL"
    raw = form("REAL", "whisper").encode()
    assert (await door.post(FORM, headers, content=CODINGS[coding](raw))).status_code == 200
    assert door.took().body == form("REAL", "whisper-1").encode()


@pytest.mark.parametrize("coding", CODINGS)
async def test_a_body_that_inflates_beyond_the_bound_is_too_large(door: Door, coding: str) -> None:
    """As a plain one would be: 413."""
    asked = {"model": "gpt-4o", "messages": [{"role": "user", "content": "x" * 2_000_001}]}
    key = bearer(await door.gateway.key())
    headers = {**key, "content-type": "application/json", "content-encoding": coding}
    reply = await door.post(CHAT, headers, content=CODINGS[coding](json.dumps(asked).encode()))
    assert (reply.status_code, door.provider.seen) == (413, [])
    assert (await door.chat(key, messages=asked["messages"])).status_code == 413


@pytest.mark.parametrize("coding", ["deflate", "br", "gzip, gzip", "gzip"])
async def test_another_coding_or_none_is_refused(door: Door, coding: str) -> None:
    """What is said to be gzip and is none, too."""
    headers = {
        **bearer(await door.gateway.key()),
        "content-type": "application/json",
        "content-encoding": coding,
    }
    reply = await door.post(CHAT, headers, content=b'{"model":"gpt-4o","messages":[]}')
    assert (reply.status_code, door.provider.seen) == (400, [])
    assert "content-encoding" in reply.json()["error"]["message"]

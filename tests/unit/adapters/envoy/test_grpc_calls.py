"""gRPC as any client speaks it, over both transports: a real client of grpcio's before each."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from grpc import Compression, StatusCode
from grpc.aio import AioRpcError, Channel, StreamStreamCall
from tests.unit.adapters.envoy.grpc_lab import LARGE, LIMITS, Lab

UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


@pytest.fixture(params=["own", "grpcio"])
async def lab(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Lab]:
    made = Lab(tmp_path, request.param)
    await made.server.start(made.address)
    yield made
    await made.server.stop(0.1)


@pytest.fixture
async def channel(lab: Lab) -> AsyncIterator[Channel]:
    async with grpc.aio.insecure_channel(lab.address, options=UNLIMITED) as made:
        yield made


async def refused(asking: Any) -> AioRpcError:
    with pytest.raises(AioRpcError) as failed:
        await asking
    return failed.value


@pytest.mark.parametrize("size", [0, 1, 16_379, 16_384, 65_535, 65_536, LARGE])
async def test_a_message_of_any_size_comes_and_goes_whole(channel: Channel, size: int) -> None:
    """One frame or many, within the client's window or beyond it, empty or not."""
    message = random.Random(size).randbytes(size)
    assert await channel.unary_unary("/t/Unary")(message) == message


async def test_many_calls_share_a_connection(channel: Channel) -> None:
    """Each gets its own answer."""
    messages = [bytes([number % 256]) * (number * 50) for number in range(500)]
    assert list(await asyncio.gather(*map(channel.unary_unary("/t/Unary"), messages))) == messages


async def test_a_stream_answers_each_message_as_it_comes(lab: Lab, channel: Channel) -> None:
    """And ends well when the client has said all."""
    call: StreamStreamCall[Any, Any] = channel.stream_stream("/t/Stream")()
    for message in (b"a", b"b" * 100_000, b""):
        await call.write(message)
        assert await call.read() == message
    await call.done_writing()
    assert (await call.read(), await call.code()) == (grpc.aio.EOF, StatusCode.OK)
    assert await lab.ended() is True


async def test_more_than_the_window_passes_through_one_stream(channel: Channel) -> None:
    """A stream of access logs lives as long as Envoy; windows are opened again."""
    call: StreamStreamCall[Any, Any] = channel.stream_stream("/t/Stream")()
    for _ in range(8):
        await call.write(b"x" * LARGE)
        assert len(await call.read()) == LARGE
    call.cancel()


async def test_a_call_that_is_cancelled_is_lost(lab: Lab, channel: Channel) -> None:
    """Its answers go nowhere, and say so."""
    call: StreamStreamCall[Any, Any] = channel.stream_stream("/t/Stream")()
    await call.write(b"a")
    await call.read()
    assert lab.calls[-1].call.left() is False
    call.cancel()
    assert await lab.ended() is False
    assert lab.calls[-1].call.left() is True
    assert lab.calls[-1].call.send(b"b") is False


async def test_an_unknown_method_is_unimplemented(channel: Channel) -> None:
    """In words too."""
    failed = await refused(channel.unary_unary("/t/Other")(b"a"))
    assert failed.code() is StatusCode.UNIMPLEMENTED
    assert failed.details()


@pytest.mark.parametrize("method", ["/t/Unary", "/t/Stream"])
async def test_a_failure_is_told_in_words(channel: Channel, method: str) -> None:
    """Whatever characters they have."""
    call: StreamStreamCall[Any, Any] = channel.stream_stream(method)()
    await call.write(b"fail")
    await call.done_writing()
    failed = await refused(call.read())
    assert (failed.code(), failed.details()) == (StatusCode.RESOURCE_EXHAUSTED, "höher als 100 %")


@pytest.mark.parametrize("compression", [Compression.Gzip, Compression.Deflate])
@pytest.mark.parametrize("size", [0, 10, 3_000_000])
async def test_messages_may_come_compressed(
    channel: Channel, compression: Compression, size: int
) -> None:
    """Their answers need not be."""
    message = b"x" * size
    assert await channel.unary_unary("/t/Unary")(message, compression=compression) == message
    call: StreamStreamCall[Any, Any] = channel.stream_stream("/t/Stream")(compression=compression)
    for each in (message, b"y"):
        await call.write(each)
        assert await call.read() == each
    call.cancel()


@pytest.mark.parametrize("compression", [Compression.NoCompression, Compression.Gzip])
@pytest.mark.parametrize("method", ["/t/Unary", "/t/Stream"])
async def test_a_message_beyond_the_limit_is_refused_and_reaches_nobody(
    lab: Lab, channel: Channel, method: str, compression: Compression
) -> None:
    """Inflated or not; the next one is served."""
    call: StreamStreamCall[Any, Any] = channel.stream_stream(method)(compression=compression)
    await call.write(b"\0" * (LIMITS.message_bytes + 1))
    failed = await refused(call.read())
    assert failed.code() is StatusCode.RESOURCE_EXHAUSTED
    assert all(not each.heard for each in lab.calls)
    assert await channel.unary_unary("/t/Unary")(b"a") == b"a"


@pytest.mark.parametrize("messages", [0, 2])
async def test_a_unary_call_has_one_message(channel: Channel, messages: int) -> None:
    """None, and it is answered with an error at once; of two, the second is."""
    call: StreamStreamCall[Any, Any] = channel.stream_stream("/t/Unary")()
    if messages == 0:
        await call.done_writing()
        failed = await refused(call.read())
        assert failed.code() in (StatusCode.INTERNAL, StatusCode.UNIMPLEMENTED)
        assert failed.details()
    else:
        await call.write(b"a")
        assert await call.read() == b"a"
        assert await call.code() is StatusCode.OK


async def test_stopping_waits_for_calls_that_are_open(lab: Lab, channel: Channel) -> None:
    """A rolling restart costs no call."""
    call: StreamStreamCall[Any, Any] = channel.stream_stream("/t/Stream")()
    await call.write(b"a")
    await call.read()
    stopping = asyncio.create_task(lab.server.stop(10))
    await asyncio.sleep(0.05)
    await call.write(b"b")
    assert await call.read() == b"b"
    await call.done_writing()
    await stopping
    assert await lab.ended() is True


async def test_a_client_that_reads_nothing_is_made_to_wait(lab: Lab, channel: Channel) -> None:
    """What it sends is left unread before much is kept for it."""
    call: StreamStreamCall[Any, Any] = channel.stream_stream("/t/Stream")()
    message, written = b"x" * 1024 * 1024, 0
    try:
        while written < 200:
            await asyncio.wait_for(call.write(message), 1)
            written += 1
    except TimeoutError:
        pass
    assert written < 100
    assert sum(map(len, lab.calls[-1].heard)) < 100 * len(message)
    call.cancel()

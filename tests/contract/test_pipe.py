"""The pipe to the store: many calls on one connection, and what happens to them when it breaks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from valkey.asyncio import Valkey

from tollgate.adapters.valkey.connection.opening import open_pipe
from tollgate.adapters.valkey.connection.pipe import Pipe, ReplyError
from tollgate.core.errors import StoreSilent, StoreUnavailable


async def test_many_calls_at_once_get_each_its_own_answer(pipe: Pipe, store: Valkey) -> None:
    """A thousand at once, in their order, among them one that the store refuses."""
    answers = await asyncio.gather(
        *(pipe.call("ECHO", str(n)) if n != 500 else pipe.call("NOPE") for n in range(1000)),
        return_exceptions=True,
    )
    assert isinstance(answers[500], ReplyError)
    assert [answer for n, answer in enumerate(answers) if n != 500] == [
        str(n).encode() for n in range(1000) if n != 500
    ]


async def test_a_cancelled_call_takes_nobodys_answer(pipe: Pipe, store: Valkey) -> None:
    """Its own answer is dropped when it comes, and the next call gets the next."""
    call = asyncio.create_task(pipe.call("ECHO", "first"))
    await asyncio.sleep(0)
    call.cancel()
    assert await pipe.call("ECHO", "second") == b"second"


async def test_whoever_starts_a_call_while_it_connects_uses_the_same_connection(
    pipe: Pipe, store: Valkey
) -> None:
    """A call in each turn of the loop until the first is answered: the server sees one client."""
    calls: list[asyncio.Future[object]] = []
    while not any(each.done() for each in calls):
        calls.append(asyncio.get_running_loop().create_future())
        pipe.start((b"CLIENT", b"ID"), calls[-1].set_result)
        await asyncio.sleep(0)
    assert len(set(await asyncio.gather(*calls))) == 1


async def test_a_lost_connection_fails_its_calls_and_the_next_makes_a_new_one(
    pipe: Pipe, store: Valkey
) -> None:
    """Who waited hears that the store is away; who comes later is served."""
    assert await pipe.call("PING") == b"PONG"
    waiting = asyncio.create_task(pipe.call("BLPOP", "nothing", 0))
    await asyncio.sleep(0.05)
    await store.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    with pytest.raises(StoreSilent):
        await waiting
    assert await pipe.call("PING") == b"PONG"


async def test_a_store_that_is_not_there_is_unavailable() -> None:
    """For each call, at once; and the pipe is not spoiled by it."""
    pipe = open_pipe("unix:///nowhere/at/all.sock", timeout_s=1)
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match="cannot connect"):
            await pipe.call("PING")


@pytest.fixture
async def silent(tmp_path: Path) -> AsyncIterator[str]:
    """A store that takes connections and never answers."""
    held = []
    server = await asyncio.start_unix_server(
        lambda _, writer: held.append(writer), tmp_path / "silent.sock"
    )
    yield f"unix://{tmp_path}/silent.sock"
    for writer in held:
        writer.close()
    server.close()


async def test_a_store_that_does_not_answer_is_unavailable_after_the_timeout(silent: str) -> None:
    """Nobody waits for ever."""
    pipe = open_pipe(silent, timeout_s=0.05)
    with pytest.raises(StoreSilent, match="no answer within"):
        await pipe.call("PING")


async def test_silence_is_found_after_a_time_without_calls_too(tmp_path: Path) -> None:
    """Nothing watches while nothing waits, and the next call is watched again."""
    held = []

    async def answer_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held.append(writer)
        await reader.read(100)
        writer.write(b"+PONG\r\n")

    server = await asyncio.start_unix_server(answer_once, tmp_path / "once.sock")
    pipe = open_pipe(f"unix://{tmp_path}/once.sock", timeout_s=0.05)
    assert await pipe.call("PING") == b"PONG"
    await asyncio.sleep(0.2)
    with pytest.raises(StoreSilent, match="no answer within"):
        await asyncio.wait_for(pipe.call("PING"), 5)
    server.close()
    held[0].close()


async def test_a_password_and_a_database_are_used(store: Valkey, valkey_url: str) -> None:
    """As the URL names them."""
    await store.execute_command("ACL", "SETUSER", "bob", "on", ">secret", "~*", "+@all")
    pipe = open_pipe(valkey_url.replace("unix://", "unix://bob:secret@") + "?db=3", timeout_s=5)
    await pipe.call("SET", "here", "1")
    assert b"db=3" in await pipe.call("CLIENT", "INFO")
    assert b"user=bob" in await pipe.call("CLIENT", "INFO")
    await pipe.aclose()
    wrong = open_pipe(valkey_url.replace("unix://", "unix://bob:wrong@"), timeout_s=5)
    with pytest.raises(StoreUnavailable, match="WRONGPASS"):
        await wrong.call("PING")
    await wrong.aclose()

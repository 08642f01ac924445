"""The pipe to a cluster: it finds where a key is, and follows it while it moves."""

from __future__ import annotations

import asyncio

import pytest
from tests.many_servers import Cluster, Server, free_ports
from valkey.crc import key_slot

from tollgate.adapters.valkey.connection.cluster_pipe import slot_of, slot_of_key
from tollgate.adapters.valkey.connection.opening import open_pipe
from tollgate.adapters.valkey.connection.pipe import Pipe, ReplyError
from tollgate.core.errors import StoreUnavailable


@pytest.mark.parametrize("key", ["a", "tollgate:{o}:held", "x{}y", "{a}{b}", "{ä %2F}", "a{b", ""])
def test_a_key_has_the_slot_that_the_protocol_says(key: str) -> None:
    """As the client library computes it."""
    raw = key.encode()
    tag = raw[raw.find(b"{") + 1 : raw.find(b"}", raw.find(b"{"))] if b"{" in raw else b""
    assert slot_of_key(key) == key_slot(tag if tag and b"}" in raw else raw)
    assert slot_of((b"GET", key)) == slot_of((b"EVALSHA", "sha", 1, key, 7)) == slot_of_key(key)


async def test_many_calls_get_each_its_own_answer_wherever_they_run(cluster_pipe: Pipe) -> None:
    """Among them one that a node refuses."""
    names = [f"tollgate:{{k{n}}}" for n in range(300)]
    await asyncio.gather(*(cluster_pipe.call(b"SET", name, name) for name in names))
    commands = [(b"GET", name) if n != 7 else (b"LLEN", name) for n, name in enumerate(names)]
    answers = await asyncio.gather(
        *(cluster_pipe.call(*each) for each in commands), return_exceptions=True
    )
    assert isinstance(answers[7], ReplyError)
    assert answers[7].word == "WRONGTYPE"
    del answers[7], names[7]
    assert answers == [name.encode() for name in names]
    assert len({key async for key in cluster_pipe.keys(b"tollgate:*")}) == 300
    assert sum(await cluster_pipe.everywhere(b"DBSIZE")) == 300


def identity(server: Server) -> str:
    found = server.ask("CLUSTER", "MYID")
    assert isinstance(found, bytes)
    return found.decode()


async def test_a_slot_is_followed_while_and_after_it_moves(
    cluster_pipe: Pipe, cluster_servers: Cluster
) -> None:
    """ASK for a key that is gone already, TRYAGAIN for two of which one is, MOVED at the end."""
    one, two = "tollgate:{moving}:1", "tollgate:{moving}:2"
    slot = slot_of_key(one)
    await cluster_pipe.call(b"MSET", one, b"1", two, b"2")
    source = cluster_servers.serving(slot)
    target = next(each for each in cluster_servers.servers if each is not source)
    names = [identity(source), identity(target)]
    target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", names[0])
    source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", names[1])
    source.ask("MIGRATE", "127.0.0.1", target.port, one, 0, 5000)
    assert await cluster_pipe.call(b"GET", one) == b"1"
    assert await cluster_pipe.call(b"GET", two) == b"2"
    both = asyncio.create_task(cluster_pipe.call(b"MGET", one, two))
    await asyncio.wait([both], timeout=0.1)
    assert not both.done()
    source.ask("MIGRATE", "127.0.0.1", target.port, two, 0, 5000)
    assert await both == [b"1", b"2"]
    for each in (target, *cluster_servers.servers):
        each.ask("CLUSTER", "SETSLOT", slot, "NODE", names[1])
    assert await cluster_pipe.call(b"MGET", one, two) == [b"1", b"2"]
    assert await cluster_pipe.call(b"INCR", two) == 3


async def test_a_cluster_that_is_away_is_said_to_be(cluster_servers: Cluster) -> None:
    """By the node that does not answer; one that does is enough."""
    (port,) = free_ports(1)
    away = open_pipe(f"valkey+cluster://127.0.0.1:{port}", 0.2)
    with pytest.raises(StoreUnavailable, match=f"127.0.0.1:{port}.*Connection refused"):
        await away.call(b"GET", b"tollgate:a")
    await away.aclose()
    there = cluster_servers.servers[0].port
    partly = open_pipe(f"valkey+cluster://127.0.0.1:{port},127.0.0.1:{there}", 5)
    assert await partly.call(b"GET", b"tollgate:a") is None
    await partly.aclose()

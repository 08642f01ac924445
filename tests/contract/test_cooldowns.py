"""What gateways on one store tell each other of deployments that cool down."""

from __future__ import annotations

from tollgate.adapters.valkey.connection.pipe import Pipe
from tollgate.adapters.valkey.counters.cooldowns import SharedCooldowns


async def test_every_worker_finds_what_one_has_noted(pipe: Pipe) -> None:
    """The last note of a deployment counts."""
    one, other = SharedCooldowns(pipe), SharedCooldowns(pipe)
    assert await other.find() == {}
    await one.add("a", 5_000_000, 60_000)
    await one.add("b", 6_000_000, 60_000)
    await other.add("a", 7_000_000, 60_000)
    assert await one.find() == {"a": 7_000_000, "b": 6_000_000}


async def test_notes_go_by_themselves(pipe: Pipe) -> None:
    """The store does not keep what nobody needs any more."""
    await SharedCooldowns(pipe).add("a", 5_000_000, 60_000)
    left_ms = int(await pipe.call(b"PTTL", b"tollgate:cooldowns"))
    assert 0 < left_ms <= 60_000

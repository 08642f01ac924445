"""Shares of a limit: how much is whose, and what is lent."""

from __future__ import annotations

import pytest
from msgspec import structs
from tests.fakes import FixedClock, MemoryCounters
from tests.make import reservation

from tollgate.core.callers.share_names import divided
from tollgate.core.entities import Key, LimitSet, Team
from tollgate.core.errors import BadRequest
from tollgate.core.limits import bucket, shared_bucket
from tollgate.core.limits.accounts import Account, Meter, Quota, Scope, ScopeKind
from tollgate.core.limits.limit import Bucket, Limit, described
from tollgate.core.limits.shares import Share, Shares

A_AND_B = Shares((("a", 600), ("b", 400)))
THOUSAND = Quota(Meter.REQUESTS, 1000, 60)


class Crowd:
    """Callers of one limit of a thousand requests a minute."""

    def __init__(self, shares: Shares) -> None:
        self.clock = FixedClock()
        self._counters = MemoryCounters(self.clock)
        self._shares = shares
        self._calls = 0

    async def send(self, name: str, times: int) -> int:
        """Send calls of somebody at once, and return how many pass."""
        share = self._shares.of((name,), THOUSAND.amount, bucket.units(60))
        scope = Scope(ScopeKind.DEPLOYMENT, "d")
        account = Account(scope, (THOUSAND, structs.replace(THOUSAND, share=share)))
        passed = 0
        for _ in range(times):
            self._calls += 1
            found = await self._counters.reserve(reservation(f"r{self._calls}", account))
            passed += found.refused is None
        return passed

    def wait(self, seconds: float) -> None:
        self.clock.us += round(seconds * 1_000_000)


async def test_one_caller_alone_may_use_all_of_the_limit() -> None:
    """Half of it at once, which is common, and then as fast as the whole limit refills."""
    crowd = Crowd(A_AND_B)
    assert await crowd.send("b", 1000) == 500
    for _ in range(12):
        crowd.wait(5)
        assert 82 <= await crowd.send("b", 1000) <= 84


async def test_who_comes_to_a_saturated_limit_has_its_share() -> None:
    """Of a: 300 at once and 600 a minute, though b asks for more all the time."""
    crowd = Crowd(A_AND_B)
    assert await crowd.send("b", 1000) == 500
    assert await crowd.send("a", 1000) == 300
    a = b = 0
    for _ in range(60):
        crowd.wait(1)
        b += await crowd.send("b", 50)
        a += await crowd.send("a", 50)
    assert (a, b) == (600, 400)


async def test_who_has_no_share_gets_what_is_lent() -> None:
    """Nothing while those with shares use all of them, and everything when they pause."""
    crowd = Crowd(A_AND_B)
    for name in ("c", "a", "b"):
        await crowd.send(name, 1000)
    crowd.wait(1)
    assert [await crowd.send(name, 50) for name in ("a", "b", "c")] == [10, 6, 0]
    crowd.wait(60)
    assert await crowd.send("c", 1000) == 500


async def test_all_others_share_one_share() -> None:
    """Two that no share names together have that of `*`."""
    crowd = Crowd(Shares((("a", 600), ("*", 200))))
    assert await crowd.send("a", 1000) == 500
    assert [await crowd.send(name, 1000) for name in ("c", "d")] == [100, 0]


async def test_a_call_that_finds_nothing_used_passes_however_large() -> None:
    """As it would a limit that is not shared."""
    share = Shares((("a", 1000),), 0).of(("b",), 100, bucket.units(60))
    whole = Quota(Meter.TOKENS, 100, 60)
    scope = Scope(ScopeKind.DEPLOYMENT, "d")
    account = Account(scope, (whole, structs.replace(whole, share=share)))
    counters = MemoryCounters(FixedClock())
    first, second = [
        await counters.reserve(reservation(name, account, tokens=300)) for name in ("r1", "r2")
    ]
    assert (first.refused, second.refused) == (None, 0)


def test_the_wait_is_that_of_the_share() -> None:
    """Six a second; a call that is larger than the reserve waits for the whole limit."""
    share = A_AND_B.of(("a",), 1000, bucket.units(60))
    quota = structs.replace(THOUSAND, meter=Meter.TOKENS, share=share)
    full = shared_bucket.capacity(quota)
    assert shared_bucket.wait_ms(quota, full, 6) == 600
    assert shared_bucket.wait_ms(quota, full, 400) == 24_000


@pytest.mark.parametrize(
    ("key", "team", "named"),
    [
        (Key("h", "k", alias="batch"), Team("t"), "key:batch"),
        (Key("h", "k"), Team("r", alias="research"), "research"),
        (Key("h", "k"), Team("t"), "t"),
        (Key("h", "k", metadata='{"priority": "dev"}'), None, "dev"),
        (Key("h", "k", metadata='{"priority": "dev"}'), Team("x"), "dev"),
        (Key("h", "k", metadata='{"priority": "dev"}'), Team("t"), "t"),
        (Key("h", "k"), Team("t", metadata='{"priority": "prod"}'), "prod"),
        (Key("h", "k", metadata='{"priority": 3}'), Team("nobody"), "*"),
        (None, None, "*"),
    ],
)
def test_the_most_specific_name_of_a_caller_has_the_share(
    key: Key | None, team: Team | None, named: str
) -> None:
    """A key by its alias, then its team, then a priority that the key tells itself."""
    names = ("prod", "key:batch", "research", "t", "dev", "*")
    shares = Shares(tuple((each, 100) for each in names))
    limits = LimitSet((Limit(Meter.REQUESTS, 100, Bucket(60), shares=shares),))
    quotas = divided(limits.in_force(0, tokens=True, money=True), limits, key, team)
    assert [each.share and each.share.name for each in quotas] == [None, named]


def test_a_share_is_named_in_words() -> None:
    """Of a caller without one too."""
    shared = [structs.replace(THOUSAND, share=Share(name, 0, 0, 0)) for name in ("a", "*", "")]
    assert [described(each).partition(", ")[2] for each in shared] == [
        "share of a",
        "share of all others",
        "without a share",
    ]


@pytest.mark.parametrize(
    ("named", "threshold", "wrong"),
    [
        ({"a": 0.7, "b": 0.4}, None, "add up to 1"),
        ({"a": 0}, None, "0.001"),
        ({"": 0.5}, None, "0.001"),
        ({str(n): 0.01 for n in range(13)}, None, "at most 12"),
        ({"a": 0.5}, 1, "saturation_threshold"),
    ],
)
def test_shares_that_cannot_be_kept_are_refused(
    named: dict[str, float], threshold: float | None, wrong: str
) -> None:
    with pytest.raises(BadRequest, match=wrong):
        Shares.read(named, threshold)

"""What a reply is charged."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from msgspec import structs
from prometheus_client import REGISTRY
from tests.fakes import FixedClock, MemoryCounters
from tests.make import DOLLAR, KEY, account_of, budget, reservation, settlement

from tollgate import telemetry
from tollgate.core.calls.reservation import Reservation, Settlement
from tollgate.core.calls.usage import NO_USAGE, Certainty, Pass, Usage
from tollgate.core.errors import StoreUnavailable
from tollgate.core.limits.accounts import Standing
from tollgate.core.models.deployment import Deployment
from tollgate.core.money.pricing import Price, Rates
from tollgate.core.requests.catalog import Catalog
from tollgate.core.requests.estimate import InputEstimates
from tollgate.core.usage.reading import NOTHING_READ, Reading, Seen
from tollgate.metering.metering import Ended, Metering, used, used_unseen

PRICE = Price(
    "test", (Rates(1_000_000, 2_000_000, 1_000_000, 1_000_000, 1_000_000),)
)  # one and two nano-dollars a token
CATALOG = Catalog.of(
    (Deployment("gpt-4o", "gpt-4o", "openai", "gpt-4o", "http://mock-llm"),), {"gpt-4o": PRICE}
)
EXACT = Usage(10, 7)
HELD = reservation(
    "r1", account_of(KEY, tpm=1000, budget_nanousd=DOLLAR)
)  # estimated at 10 in and 20 out


async def meter_of(*reservations: Reservation) -> tuple[Metering, MemoryCounters]:
    counters = MemoryCounters(FixedClock())
    for each in reservations:
        await counters.reserve(each)
    return Metering(counters, CATALOG, None, InputEstimates()), counters


def partial(input_tokens: int, output_tokens: int, **kinds: Any) -> Usage:
    return Usage(input_tokens, output_tokens, certainty=Certainty.PARTIAL, **kinds)


def estimated(input_tokens: int, output_tokens: int, **kinds: Any) -> Usage:
    return Usage(input_tokens, output_tokens, certainty=Certainty.ESTIMATED, **kinds)


def shows(tokens: int, **kinds: int) -> Seen:
    return Seen(shown=True, output_tokens=tokens, **kinds)


VECTORS = Seen(shown=True)
DRAWN = Seen(shown=True, output_tokens=16, picture_tokens=16)
WHOLE = Reading(EXACT, input_told=True, output_told=True)


@pytest.mark.parametrize(
    ("reading", "status", "complete", "charged"),
    [
        (WHOLE, 200, True, EXACT),
        (WHOLE, 200, False, EXACT),
        (WHOLE, 500, True, EXACT),
        (NOTHING_READ, 429, True, NO_USAGE),
        (NOTHING_READ, 500, False, NO_USAGE),
        (NOTHING_READ, 200, True, NO_USAGE),
        (NOTHING_READ, 200, False, partial(10, 0)),
        (Reading(seen=shows(6)), 200, True, estimated(10, 6)),
        (Reading(seen=shows(6)), 200, False, partial(10, 6)),
        (Reading(seen=shows(66)), 200, True, estimated(10, 66)),
        (Reading(seen=VECTORS), 200, True, estimated(10, 0)),
        (Reading(seen=DRAWN), 200, True, estimated(10, 16, output_image_tokens=16)),
        (Reading(partial(0, 0)), 200, True, NO_USAGE),
        (Reading(partial(0, 0), seen=shows(6)), 200, True, partial(10, 6)),
        (Reading(partial(0, 0, told_nanousd=5)), 200, True, partial(10, 0, told_nanousd=5)),
        (Reading(partial(0, 7), output_told=True), 200, True, partial(10, 7)),
        (Reading(partial(12, 0), input_told=True), 200, True, partial(12, 0)),
        (Reading(partial(12, 1), input_told=True, seen=shows(6)), 200, False, partial(12, 6)),
        (Reading(partial(12, 9), input_told=True, seen=shows(6)), 200, True, partial(12, 9)),
    ],
)
def test_a_reply_is_charged_by_what_it_said_or_the_rule_that_stands_in(
    reading: Reading, status: int, complete: bool, charged: Usage
) -> None:
    """What was told; nothing for errors, silence and zeros beside nothing; else the input as
    estimated, the output as seen.
    """
    assert charged == used(HELD, reading, status, complete=complete)


@pytest.mark.parametrize(
    ("seen", "status", "reached", "complete", "charged"),
    [
        (0, 503, False, False, NO_USAGE),
        (0, 0, False, False, NO_USAGE),
        (9, 504, True, True, NO_USAGE),
        (0, 0, True, False, Usage(10, 0, certainty=Certainty.PARTIAL)),
        (7, 200, True, False, Usage(10, 7, certainty=Certainty.PARTIAL)),
        (7, 200, True, True, Usage(10, 7, certainty=Certainty.ESTIMATED)),
        (99, 200, True, True, Usage(10, 20, certainty=Certainty.ESTIMATED)),
    ],
)
def test_a_reply_that_nobody_read_is_charged_by_what_the_log_says(
    seen: int, status: int, reached: bool, complete: bool, charged: Usage
) -> None:
    """Nothing when nothing reached the provider, or it failed; else the input, and what it may have
    shown, as far as was held.
    """
    assert charged == used_unseen(HELD, seen, status, reached_provider=reached, complete=complete)


async def test_settling_tells_cost_and_where_things_stand() -> None:
    """The headers are those of after settlement."""
    meter, _ = await meter_of(HELD)
    headers = {h.name: h.value for h in await meter.settle(Ended(HELD, EXACT, 200, "test"))}
    assert headers["x-litellm-response-cost"] == "2.4e-08"
    assert headers["x-litellm-key-spend"] == "2.4e-08"
    assert headers["x-ratelimit-remaining-tokens"] == "983"


async def test_whoever_settles_second_tells_nothing() -> None:
    """ext_proc and the access log may both come; one record results."""
    meter, counters = await meter_of(HELD)
    await meter.settle(Ended(HELD, EXACT, 200, "ext_proc"))
    assert await meter.settle(Ended(HELD, NO_USAGE, 200, "access_log")) == ()
    assert [(r.cost_nanousd, r.settled_by) for r in counters.ledger] == [(24, "ext_proc")]


async def test_an_expired_lease_is_charged_as_held() -> None:
    """Never silently zero: the estimate, marked expired."""
    meter, counters = await meter_of(HELD)
    counters.clock.us += 61_000_000
    await meter.settle_expired()
    (record,) = counters.ledger
    assert (record.certainty, record.input_tokens, record.output_tokens, record.cost_nanousd) == (
        "expired",
        10,
        20,
        50,
    )


async def test_all_leases_that_ran_out_are_settled_together() -> None:
    """However many Envoy had open when it died: a hundred in each of the reaper's rounds would hold
    budgets for minutes more.
    """
    account = account_of(KEY, budget_nanousd=DOLLAR)
    meter, counters = await meter_of(
        *(reservation(f"lost-{number}", account) for number in range(250))
    )
    counters.clock.us += 61_000_000
    await meter.settle_expired()
    assert len(counters.ledger) == len({record.id for record in counters.ledger}) == 250


async def test_the_ledger_and_the_spend_of_each_scope_agree() -> None:
    """To the nano-dollar, whatever was charged."""
    calls = [reservation(f"r{n}", budget(DOLLAR)) for n in range(9)]
    meter, counters = await meter_of(*calls)
    for n, call in enumerate(calls):
        await meter.settle(Ended(call, Usage(n, 3 * n), 200, "test"))
    (spend,) = await counters.spend("default", calls[0].accounts)
    assert sum(r.cost_nanousd for r in counters.ledger) == spend.used_nanousd == spend.total_nanousd


class _Flaky(MemoryCounters):
    failures = 1

    async def settle(self, reservation: Reservation, settlement: Settlement) -> Standing | None:
        if self.failures:
            self.failures -= 1
            raise StoreUnavailable("down")
        return await super().settle(reservation, settlement)


async def test_a_settlement_that_the_store_missed_is_tried_again() -> None:
    """The reply goes out with its cost; the settlement follows when the store is back."""
    counters = _Flaky(FixedClock())
    await counters.reserve(HELD)
    meter = Metering(counters, CATALOG, None, InputEstimates())
    assert [h.name for h in await meter.settle(Ended(HELD, EXACT, 200, "test"))] == [
        "x-litellm-response-cost"
    ]
    await meter.drain()
    assert [r.cost_nanousd for r in counters.ledger] == [24]


class _Slow(MemoryCounters):
    def __init__(self, clock: FixedClock) -> None:
        super().__init__(clock)
        self.go = asyncio.Event()

    async def settle(self, reservation: Reservation, settlement: Settlement) -> Standing | None:
        await self.go.wait()
        return await super().settle(reservation, settlement)


async def test_a_cancelled_reply_does_not_cancel_its_settlement() -> None:
    """Envoy may cancel the stream at any moment; what was used is still charged."""
    counters = _Slow(FixedClock())
    await counters.reserve(HELD)
    meter = Metering(counters, CATALOG, None, InputEstimates())
    reply = asyncio.create_task(meter.settle(Ended(HELD, EXACT, 200, "test")))
    await asyncio.sleep(0)
    reply.cancel()
    counters.go.set()
    await meter.drain()
    assert [r.cost_nanousd for r in counters.ledger] == [24]
    assert await counters.settle(HELD, settlement()) is None


async def test_holds_of_any_organization_are_given_back_and_expire() -> None:
    """A key of an organization leaves no more behind than one without."""
    left = structs.replace(HELD, id="left", organization="acme", stream_id="7-1")
    lost = structs.replace(HELD, id="lost", organization="acme")
    meter, counters = await meter_of(left, lost)
    await meter.give_back({"7-1"})
    await meter.drain()
    counters.clock.us += 61_000_000
    await meter.settle_expired()
    assert [(r.id, r.certainty) for r in counters.ledger] == [("left", "none"), ("lost", "expired")]


async def charge(
    usage: Usage, *, trusted: bool = False, price: Price | None = PRICE
) -> tuple[int, str, int]:
    """What a call is charged, how sure that is, and what the table makes of it."""
    deployment = Deployment(
        "gpt-4o", "gpt-4o", "openai", "gpt-4o", "http://mock-llm", trust_provider_cost=trusted
    )
    counters = MemoryCounters(FixedClock())
    await counters.reserve(HELD)
    prices = {} if price is None else {"gpt-4o": price}
    catalog = Catalog.of(
        (deployment,), prices, lambda _, model: PRICE if model == "other" else None
    )
    await Metering(counters, catalog, None, InputEstimates()).settle(
        Ended(HELD, usage, 200, "test")
    )
    record = counters.ledger[-1]
    return record.cost_nanousd, record.certainty, record.bill.cost_nanousd


@pytest.mark.parametrize(
    ("usage", "trusted", "charged"),
    [
        (Usage(10, 7, told_nanousd=99), True, (99, "exact", 24)),
        (Usage(10, 7, told_nanousd=0), True, (0, "exact", 24)),
        (Usage(10, 7, told_nanousd=99), False, (24, "exact", 24)),
        (Usage(10, 7), True, (24, "exact", 24)),
        (partial(10, 7, told_nanousd=99), True, (99, "partial", 24)),
        # without a part's price the table's figure is no exact one, but the provider's own is
        (Usage(10, 7, output_audio_tokens=7, told_nanousd=99), True, (99, "exact", 24)),
        (Usage(10, 7, output_audio_tokens=7, told_nanousd=99), False, (24, "partial", 24)),
        (structs.replace(NO_USAGE, told_nanousd=99), True, (0, "none", 0)),
        # sums are exact in the store below 2^53
        (Usage(2**52, 2**52), False, (2**53 - 1, "exact", 3 * 2**52)),
    ],
)
async def test_dollars_that_the_provider_tells_are_charged_where_they_are_trusted(
    usage: Usage, trusted: bool, charged: tuple[int, str, int]
) -> None:
    """The table's figure stays beside them in the ledger."""
    assert await charge(usage, trusted=trusted) == charged


async def test_told_dollars_are_charged_without_a_price_too() -> None:
    """The provider knows what it asks for."""
    assert await charge(Usage(10, 7, told_nanousd=99), trusted=True, price=None) == (99, "exact", 0)


async def test_what_a_provider_told_is_counted_beside_the_table_by_its_name() -> None:
    """And what its calls were estimated at beside what they cost."""
    labels = {"provider": "openai", "model": "gpt-4o"}
    telemetry.publish()
    names = ("told", "table", "estimated", "exact")
    before = [_counted(f"tollgate_{each}_dollars_total", labels) for each in names]
    await charge(Usage(10, 7, told_nanousd=99))
    telemetry.publish()
    after = [_counted(f"tollgate_{each}_dollars_total", labels) for each in names]
    grown = [round((b - a) * 10**9) for a, b in zip(before, after, strict=True)]
    assert grown == [99, 24, HELD.cost_nanousd, 24]


def _counted(name: str, labels: dict[str, str]) -> float:
    return (
        REGISTRY.get_sample_value(name, labels)
        or REGISTRY.get_sample_value(name, {"provider": labels["provider"]})
        or 0.0
    )


async def test_a_pass_by_another_model_is_charged_at_that_models_price() -> None:
    """It is looked up by the name that the reply tells."""
    passes = (Pass(10, 7, model="other", kind="advisor_message"),)
    dear = Price("dear", (Rates(10**9, 10**9, 0, 0, 0),))
    assert await charge(Usage(10, 7, passes=passes), price=dear) == (24, "exact", 24)


@pytest.mark.parametrize(
    ("told", "other"), [(None, False), ("gpt-4o-2024-08-06", False), ("dear", True)]
)
async def test_a_reply_of_another_model_is_marked_in_the_ledger(
    told: str | None, other: bool
) -> None:
    """By the name that it tells; it is charged as the one that was admitted."""
    meter, counters = await meter_of(HELD)
    await meter.settle(Ended(HELD, structs.replace(EXACT, reply_model=told), 200, "test"))
    (record,) = counters.ledger
    assert (record.other_model, record.reply_model, record.cost_nanousd) == (other, told, 24)


SPOKEN = Price("test", (Rates(0, 0, 0, 0, 0, character=10**6),))
HEARD = Price("test", (Rates(0, 0, 0, 0, 0, audio_second=10**6),))


@pytest.mark.parametrize(
    ("usage", "price", "measured", "charged"),
    [
        (estimated(10, 0), SPOKEN, {"characters": 37}, (37, Certainty.ESTIMATED)),
        (Usage(10, 5), SPOKEN, {"characters": 37}, (37, Certainty.EXACT)),
        (estimated(10, 0), HEARD, {"audio_seconds": 60}, (60, Certainty.ESTIMATED)),
        (partial(10, 0), HEARD, {"audio_seconds": 60}, (60, Certainty.PARTIAL)),
        # tokens that were told say nothing of the seconds
        (Usage(10, 5), HEARD, {"audio_seconds": 60}, (60, Certainty.ESTIMATED)),
        (Usage(audio_seconds=36), HEARD, {"audio_seconds": 60}, (36, Certainty.EXACT)),
        (NO_USAGE, HEARD, {"audio_seconds": 60}, (0, Certainty.NONE)),
    ],
)
async def test_what_was_measured_of_the_request_is_charged_where_the_reply_does_not_tell_it(
    usage: Usage, price: Price, measured: dict[str, int], charged: tuple[int, Certainty]
) -> None:
    """Characters are what they are; seconds of the file are an estimate."""
    held = structs.replace(HELD, **measured)
    counters = MemoryCounters(FixedClock())
    await counters.reserve(held)
    catalog = Catalog.of((), {"gpt-4o": price})
    await Metering(counters, catalog, None, InputEstimates()).settle(
        Ended(held, usage, 200, "test")
    )
    assert (counters.ledger[-1].cost_nanousd, counters.ledger[-1].certainty) == charged


@pytest.mark.parametrize(
    ("usage", "cost_nanousd"),
    [
        (partial(10, 0), 20),
        (estimated(10, 0), 20),
        (Usage(10, certainty=Certainty.EXPIRED), 20),
        # the reply reports another one, or is complete and reports none
        (partial(10, 0, service_tier="default"), 10),
        (Usage(10), 10),
        (NO_USAGE, 0),
    ],
)
async def test_a_call_whose_end_nobody_saw_costs_what_the_tier_does_that_it_asked_for(
    usage: Usage, cost_nanousd: int
) -> None:
    """A stream reports its service tier at its end, and may be cut before."""
    tiers = {"priority": (Rates(2_000_000, 0, 0, 0, 0),)}
    price = Price("test", (Rates(1_000_000, 0, 0, 0, 0),), tiers)
    catalog = Catalog.of(tuple(CATALOG.by_id.values()), {"gpt-4o": price})
    metering = Metering(MemoryCounters(FixedClock()), catalog, None, InputEstimates())
    held = structs.replace(HELD, service_tier="priority")
    found = metering.settlement(Ended(held, usage, 200, "test"))
    assert (found.cost_nanousd, found.usage.service_tier) == (cost_nanousd, usage.service_tier)

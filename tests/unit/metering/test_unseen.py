"""What is charged for output that nobody saw."""

from __future__ import annotations

import pytest
from msgspec import structs
from tests.fakes import FixedClock, MemoryCounters
from tests.make import reservation, tokens

from tollgate.core.calls.usage import NO_USAGE, Certainty, Usage
from tollgate.core.models.deployment import Deployment
from tollgate.core.models.output_limits import DEFAULT_CEILING, OutputLimits
from tollgate.core.requests.catalog import Catalog
from tollgate.core.requests.estimate import InputEstimates, Lacks, Lately, unseen_output
from tollgate.core.usage.reading import Reading, Seen
from tollgate.metering.metering import Metering, used
from tollgate.metering.unseen import ClientLeft, OwnOutputs, UnseenOutput

HELD = reservation("r1", tokens(1000))  # estimated at 10 in and 20 out


@pytest.mark.parametrize(
    ("lacks", "seen", "most", "lately", "charged"),
    [
        (Lacks.OUTPUT, 0, 4000, Lately(800, 0), 800),
        (Lacks.OUTPUT, 0, 300, Lately(800, 0), 300),
        (Lacks.OUTPUT, 900, 4000, Lately(800, 0), 900),
        (Lacks.OUTPUT, 900, 300, Lately(800, 0), 900),
        (Lacks.OUTPUT, 0, 4000, None, 1024),
        (Lacks.OUTPUT, 0, 300, None, 300),
        (Lacks.HIDDEN, 2, 16000, Lately(5000, 4998), 5000),
        (Lacks.HIDDEN, 2, 100, Lately(5000, 4998), 100),
        (Lacks.HIDDEN, 200, 100, Lately(5000, 4998), 200),
        (Lacks.HIDDEN, 10, 4000, Lately(500, 0), 10),
        (Lacks.HIDDEN, 10, 4000, None, 10),
    ],
)
def test_the_mean_of_late_stands_in_as_far_as_was_held(
    lacks: Lacks, seen: int, most: int, lately: Lately | None, charged: int
) -> None:
    """All of it, or what replies do not show; never less than was seen."""
    assert unseen_output(lacks, seen, most, lately, 1024) == charged


@pytest.mark.parametrize(
    ("seen", "most", "most_shown", "lately", "charged"),
    [
        (10, 4000, 900, None, 900),
        (10, 4000, 9000, None, 1024),
        (10, 500, 900, None, 500),
        (10, 4000, 900, Lately(300, 0), 300),
        (400, 4000, 900, Lately(300, 0), 400),
        (10, 16000, 150, Lately(5000, 4990), 5000),
        (10, 16000, 150, Lately(5000, 4000), 4150),
    ],
)
def test_of_a_reply_whose_length_alone_is_known_the_length_bounds_what_it_showed(
    seen: int, most: int, most_shown: int, lately: Lately | None, charged: int
) -> None:
    """The mean of what this model shows, within what so many bytes can hold; and the mean of what
    it hides.
    """
    assert unseen_output(Lacks.LENGTH, seen, most, lately, 1024, most_shown) == charged


async def filled(client_left: ClientLeft, usage: Usage, lacks: Lacks = Lacks.OUTPUT) -> Usage:
    """A usage of a model whose replies had 15 tokens lately, 5 of which they did not show."""
    unseen = UnseenOutput(OwnOutputs(), 1024, client_left)
    unseen.learn(HELD.deployment, 15, 5)
    return await unseen.fill(HELD, usage, lacks)


CUT = Usage(10, 2, certainty=Certainty.PARTIAL)
SILENT = Usage(10, 2, certainty=Certainty.ESTIMATED)


@pytest.mark.parametrize(
    ("client_left", "usage", "output_tokens"),
    [
        ("mean", CUT, 15),
        ("held", CUT, 20),
        ("seen", CUT, 2),
        ("mean", SILENT, 15),
        ("held", SILENT, 15),
        ("seen", SILENT, 15),
    ],
)
async def test_the_setting_decides_about_calls_that_break_off(
    client_left: ClientLeft, usage: Usage, output_tokens: int
) -> None:
    """A reply that came whole is charged by the mean in any case."""
    assert await filled(client_left, usage) == structs.replace(usage, output_tokens=output_tokens)


async def test_what_is_hidden_is_added_to_what_was_seen() -> None:
    """Five of fifteen."""
    assert (await filled("mean", CUT, Lacks.HIDDEN)).output_tokens == 7


async def test_what_used_nothing_lacks_nothing() -> None:
    """It never reached a provider, or failed."""
    assert await filled("held", NO_USAGE) == NO_USAGE


@pytest.mark.parametrize(
    ("model", "held", "shown", "charged"),
    [
        ("small", 20, 3_999, 3_999),
        ("small", 20, 9_000_000, 4_000),
        ("small", 12_000, 9_000_000, 12_000),
        ("unknown", 20, 9_000_000, DEFAULT_CEILING),
    ],
)
def test_no_more_output_is_seen_than_the_model_can_write(
    model: str, held: int, shown: int, charged: int
) -> None:
    """However long the reply is: of one choice, or of those that were held."""
    deployments = (Deployment("gpt-4o", "gpt-4o", "openai", model, "http://mock-llm"),)
    meter = Metering(
        MemoryCounters(FixedClock()),
        Catalog.of(deployments, {}),
        None,
        InputEstimates(),
        output_limits=OutputLimits(((("small",), 4_000),)),
    )
    call = structs.replace(HELD, output_tokens=held)
    usage = used(
        call,
        Reading(seen=Seen(shown=True, output_tokens=shown)),
        200,
        complete=True,
        most_output_tokens=meter.most_output_tokens,
    )
    assert usage.output_tokens == charged


def test_a_removed_deployment_writes_no_more_than_any() -> None:
    """Its calls may still be under way."""
    meter = Metering(MemoryCounters(FixedClock()), Catalog.of((), {}), None, InputEstimates())
    assert meter.most_output_tokens(HELD) == DEFAULT_CEILING

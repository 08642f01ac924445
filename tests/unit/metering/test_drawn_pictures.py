"""What a reply of pictures is charged, where its model is priced by them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec import structs
from tests.fakes import FixedClock, MemoryCounters
from tests.make import DOLLAR, KEY, account_of, reservation

from tollgate.core.calls.asked_pictures import AskedPictures
from tollgate.core.calls.bill import Line
from tollgate.core.calls.reservation import Settlement
from tollgate.core.calls.usage import Certainty, Usage
from tollgate.core.models.deployment import Deployment
from tollgate.core.money.picture_rates import PictureKind, PictureRate
from tollgate.core.money.pricing import Price, Rates
from tollgate.core.requests.catalog import Catalog
from tollgate.core.requests.estimate import InputEstimates
from tollgate.core.usage.reader import UsageReader
from tollgate.metering.metering import Ended, Metering, used, used_unseen
from tollgate.shipped_tables import api_table

CENT = 10**13  # femto-dollars
PICTURES = (
    PictureRate(PictureKind("standard"), 4 * CENT),
    PictureRate(PictureKind("hd"), 8 * CENT),
)
FREE = Rates(0, 0, 0, 0, 0)
BY_PICTURE = Price("test", (FREE,), pictures=PICTURES)
HD = AskedPictures(3, "hd", "1024x1024")
PIXEL, LONG = "iVBORw0KGgo=", "A" * 400_000


def call(api: str = "openai.images", asked: AskedPictures | None = HD) -> Any:
    held = reservation("r1", account_of(KEY, budget_nanousd=DOLLAR))
    return structs.replace(held, dialect=api, pictures=asked)


def settled(held: Any, usage: Usage, price: Price = BY_PICTURE) -> Settlement:
    deployment = Deployment("gpt-4o", "gpt-4o", "openai", "gpt-4o", "http://mock-llm")
    catalog = Catalog.of((deployment,), {"gpt-4o": price})
    metering = Metering(MemoryCounters(FixedClock()), catalog, None, InputEstimates())
    return metering.settlement(Ended(held, usage, 200, "test"))


def charge(
    api: str,
    body: object,
    *,
    status: int = 200,
    complete: bool = True,
    content_type: str = "application/json",
    pieces: int = 1,
    asked: AskedPictures | None = HD,
    price: Price = BY_PICTURE,
) -> Settlement:
    """The settlement of a reply that arrives in pieces."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    reader = UsageReader(api_table()[api], content_type)
    size = -(-len(raw) // pieces) or 1
    for start in range(0, len(raw), size):
        reader.feed(raw[start : start + size])
    if complete:
        reader.finish()
    held = call(api, asked)
    return settled(held, used(held, reader.reading(), status, complete=complete), price)


REPLIES = [
    ("openai.images", {"created": 1, "data": [{"b64_json": PIXEL}] * 2}, 2),
    ("openai.images", {"created": 1, "data": [{"url": "https://example.com/1.png"}] * 3}, 3),
    ("openai.images", {"data": [{"b64_json": None, "url": "https://example.com/1.png"}]}, 1),
    ("openai.images", {"data": [{"b64_json": PIXEL, "url": "https://example.com/1.png"}] * 2}, 2),
    ("openai.images", {"data": [{"revised_prompt": "a boat", "b64_json": LONG}] * 3}, 3),
    # the first was refused by a filter
    ("openai.images", {"data": [{"error": "blocked"}, {"b64_json": PIXEL}]}, 1),
    # more than were asked for
    ("openai.images", {"data": [{"b64_json": PIXEL}] * 5}, 5),
    ("vertex.predict", {"predictions": [{"bytesBase64Encoded": PIXEL, "mimeType": "i"}] * 2}, 2),
    ("vertex.predict", {"predictions": [{"bytesBase64Encoded": LONG}] * 4}, 4),
    ("vertex.predict", {"predictions": [{"gcsUri": "gs://b/1.png"}, {"gcsUri": "gs://b/2"}]}, 2),
    (
        "vertex.predict",
        {"predictions": [{"bytesBase64Encoded": PIXEL}, {"raiFilteredReason": "blocked"}]},
        1,
    ),
    ("bedrock.invoke", {"images": [PIXEL, PIXEL], "error": None}, 2),
    # tokens are reported too, which cost nothing
    (
        "openai.images",
        {"data": [{"b64_json": PIXEL}] * 2, "usage": {"input_tokens": 0, "output_tokens": 0}},
        2,
    ),
    ("bedrock.invoke", {"images": [LONG, LONG, LONG]}, 3),
    ("bedrock.invoke", {"seeds": [1], "finish_reasons": [None], "images": [PIXEL]}, 1),
    (
        "bedrock.invoke",
        {"result": "success", "artifacts": [{"seed": 1, "base64": PIXEL, "finishReason": "S"}]},
        1,
    ),
]


@pytest.mark.parametrize(("api", "body", "pictures"), REPLIES)
@pytest.mark.parametrize("pieces", [1, 7])
def test_a_reply_is_charged_by_the_pictures_that_it_holds(
    api: str, body: object, pictures: int, pieces: int
) -> None:
    """Exactly, at the price of the quality that was asked for, and by nothing else."""
    found = charge(api, body, pieces=pieces)
    assert found.bill.lines == (Line("image", pictures, 8 * CENT),)
    assert found.cost_nanousd == pictures * 80_000_000
    assert (found.usage.output_images, found.certainty) == (pictures, Certainty.EXACT)
    assert found.usage.output_tokens == 0


@pytest.mark.parametrize(
    ("api", "body", "status"),
    [
        ("openai.images", {"error": {"message": "blocked", "code": "moderation_blocked"}}, 200),
        ("openai.images", {"error": {"message": "busy"}}, 500),
        ("openai.images", {"created": 1, "data": []}, 200),
        ("openai.images", {"data": [{"b64_json": PIXEL}]}, 400),
        ("openai.images", b"", 200),
        ("vertex.predict", {"predictions": [{"raiFilteredReason": "blocked"}]}, 200),
        ("vertex.predict", {"predictions": []}, 200),
        ("vertex.predict", {}, 200),
        ("bedrock.invoke", {"images": [], "error": "blocked by content filters"}, 200),
        ("bedrock.invoke", {"finish_reasons": ["Filter reason: prompt"], "images": []}, 200),
    ],
)
def test_a_reply_without_pictures_costs_nothing(api: str, body: object, status: int) -> None:
    """Errors, whatever their status, and what filters withhold."""
    assert charge(api, body, status=status).cost_nanousd == 0


@pytest.mark.parametrize(
    ("body", "complete", "content_type", "certainty"),
    [
        # the client left while the reply came: the provider has drawn all of it
        (b'{"created":1,"data":[{"b64_json":"' + b"A" * 9000, False, "application/json", "partial"),
        (b"", False, "application/json", "partial"),
        # nobody can read it
        (b"\x1f\x8b\x08" + b"\xff" * 900, True, "application/x-protobuf", "estimated"),
        (
            b'data: {"type":"image_generation.completed","b64_json":"iVBO"}\n\n',
            True,
            "text/event-stream",
            "estimated",
        ),
        (
            b'data: {"type":"image_generation.completed","b64_json":"iVBO",'
            b'"usage":{"input_tokens":9,"output_tokens":1056}}\n\n',
            True,
            "text/event-stream",
            "estimated",
        ),
    ],
)
def test_a_reply_that_nobody_can_count_costs_all_that_was_asked_for(
    body: bytes, complete: bool, content_type: str, certainty: str
) -> None:
    """It was cut, or is no JSON."""
    found = charge("openai.images", body, complete=complete, content_type=content_type)
    assert (found.cost_nanousd, found.certainty) == (240_000_000, certainty)


@pytest.mark.parametrize(
    ("usage", "cost_nanousd"),
    [
        (used_unseen(call(), 0, 0, reached_provider=False, complete=False), 0),
        (used_unseen(call(), 0, 500, reached_provider=True, complete=True), 0),
        (used_unseen(call(), 0, 200, reached_provider=True, complete=True), 240_000_000),
        (used_unseen(call(), 0, 0, reached_provider=True, complete=False), 240_000_000),
        (Usage(1, 0, certainty=Certainty.EXPIRED), 240_000_000),
    ],
)
def test_a_reply_that_nobody_saw_costs_all_that_was_asked_for(
    usage: Usage, cost_nanousd: int
) -> None:
    """Nothing where it never reached the provider, or failed there."""
    assert settled(call(), usage).cost_nanousd == cost_nanousd


def test_a_prompt_s_tokens_cost_beside_pictures_where_they_have_a_price() -> None:
    """As reported, else as estimated: ten tokens of a nano-dollar."""
    price = Price("test", (Rates(1_000_000, 0, 0, 0, 0),), pictures=PICTURES)
    found = charge("openai.images", {"data": [{"b64_json": PIXEL}]}, price=price)
    assert (found.cost_nanousd, found.certainty) == (80_000_010, Certainty.ESTIMATED)
    told = {"data": [{"b64_json": PIXEL}], "usage": {"input_tokens": 7}}
    found = charge("openai.images", told, price=price)
    assert (found.cost_nanousd, found.certainty) == (80_000_007, Certainty.EXACT)


def test_tokens_that_are_reported_beside_pictures_change_nothing() -> None:
    """The model has no price for them."""
    usage = {"input_tokens": 5, "output_tokens": 900, "total_tokens": 905}
    found = charge("openai.images", {"data": [{"b64_json": PIXEL}] * 2, "usage": usage})
    assert (found.cost_nanousd, found.certainty) == (160_000_000, Certainty.EXACT)
    assert (found.usage.output_images, found.usage.output_tokens) == (2, 900)


def test_a_model_that_is_priced_by_tokens_is_charged_by_them() -> None:
    """Its pictures are counted, and cost nothing beside the tokens."""
    price = Price("test", (Rates(1_000_000, 2_000_000, 0, 0, 0, output_image=3_000_000),))
    body = {
        "data": [{"b64_json": PIXEL}],
        "usage": {"input_tokens": 5, "output_tokens": 9, "total_tokens": 14},
    }
    found = charge("openai.images", body, asked=None, price=price)
    assert (found.cost_nanousd, found.usage.output_images) == (5 + 18, 0)
    assert found.certainty is Certainty.EXACT

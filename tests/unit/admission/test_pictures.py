"""What is held for pictures, where their model is priced by them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.desk import Desk, admission, refusal
from tests.make import limit_set

from tollgate.core.calls.asked_pictures import AskedPictures
from tollgate.core.calls.reservation import Reservation
from tollgate.core.entities import LimitSet
from tollgate.core.limits.accounts import Enforcement, Meter
from tollgate.core.limits.limit import Forever, Limit
from tollgate.core.models.deployment import Deployment
from tollgate.core.money.picture_rates import PictureKind, PictureRate
from tollgate.core.money.pricing import Price, Rates

CENT = 10**13  # femto-dollars
FREE = Rates(0, 0, 0, 0, 0)


def priced(*several: tuple[PictureKind, int]) -> Price:
    return Price("test", (FREE,), pictures=tuple(PictureRate(*each) for each in several))


DALL_E_3 = priced(
    (PictureKind("standard", "1024x1024"), 4 * CENT),
    (PictureKind("hd", "1024x1792"), 12 * CENT),
)
FLAT = priced((PictureKind(), CENT))
NOVA = priced(
    (PictureKind("standard"), 4 * CENT),
    (PictureKind("premium"), 6 * CENT),
    (PictureKind("premium", "", 1024 * 1024), 8 * CENT),
)
BY_PIXEL = priced((PictureKind(by_pixel=True), 10**7))
DEPLOYMENTS = (
    Deployment("dall-e-3", "dall-e-3", "openai", "dall-e-3", "http://mock-llm/v1"),
    Deployment("flux", "flux", "together_ai", "black-forest-labs/FLUX.1", "http://mock-llm/v1"),
    Deployment("azure", "azure", "azure", "pictures", "http://mock-llm", base_model="dall-e-3"),
    Deployment("imagen", "imagen", "vertex_ai", "imagen-4.0-generate-001", "http://mock-llm"),
    Deployment("nova", "nova", "bedrock", "amazon.nova-canvas-v1:0", "http://mock-llm"),
)
PREDICT = "/v1/projects/p/locations/l/publishers/google/models/imagen:predict"
INVOKE = "/model/nova/invoke"
GENERATIONS = "/v1/images/generations"


def desk(price: Price) -> Desk:
    return Desk(deployments=DEPLOYMENTS, price=price)


async def held(
    price: Price, path: str, body: object, content_type: str = "application/json"
) -> Reservation:
    headers = {"authorization": "Bearer sk-test", "content-type": content_type}
    found = admission(await desk(price).ask(body, path=path, headers=headers)).reservation
    assert found is not None
    return found


def drawn(**config: Any) -> dict[str, Any]:
    return {
        "taskType": "TEXT_IMAGE",
        "textToImageParams": {"text": "a boat"},
        "imageGenerationConfig": config,
    }


@pytest.mark.parametrize(
    ("price", "path", "body", "asked", "cents"),
    [
        (
            DALL_E_3,
            GENERATIONS,
            {"model": "dall-e-3", "prompt": "a boat"},
            AskedPictures(1, "standard", "1024x1024"),
            4,
        ),
        (
            DALL_E_3,
            GENERATIONS,
            {"model": "dall-e-3", "n": 2, "size": "1024x1792", "quality": "HD"},
            AskedPictures(2, "hd", "1024x1792"),
            24,
        ),
        (
            DALL_E_3,
            "/openai/deployments/azure/images/generations",
            {"prompt": "a boat", "n": 1, "size": None, "quality": "auto"},
            AskedPictures(1, "standard", "1024x1024"),
            4,
        ),
        # nobody documents what is drawn unasked
        (DALL_E_3, GENERATIONS, {"model": "flux", "prompt": "a"}, AskedPictures(1), 12),
        (
            FLAT,
            GENERATIONS,
            {"model": "flux", "width": 512, "height": 768, "steps": 4, "n": 3},
            AskedPictures(3, "", "512x768", 4),
            3,
        ),
        (
            FLAT,
            "/v1/images/edits",
            {"model": "dall-e-3", "n": 10**9},
            AskedPictures(128, "standard", "1024x1024"),
            128,
        ),
        (FLAT, PREDICT, {"instances": [{"prompt": "a boat"}]}, AskedPictures(4), 4),
        (
            FLAT,
            PREDICT,
            {"instances": [{"prompt": "a boat"}], "parameters": {"sampleCount": 1}},
            AskedPictures(1),
            1,
        ),
        (NOVA, INVOKE, drawn(), AskedPictures(1, "standard", "1024x1024"), 4),
        (
            NOVA,
            INVOKE,
            drawn(numberOfImages=3, quality="premium", width=2048, height=1024),
            AskedPictures(3, "premium", "2048x1024"),
            24,
        ),
        (NOVA, INVOKE, drawn(width=512), AskedPictures(1, "standard", "512x1024"), 4),
        # a picture as large as the client's own
        (
            NOVA,
            INVOKE,
            {"taskType": "INPAINTING", "imageGenerationConfig": {"quality": "premium"}},
            AskedPictures(1, "premium"),
            8,
        ),
        (
            FLAT,
            INVOKE,
            {"text_prompts": [{"text": "a boat"}], "samples": 2, "width": 512, "height": 512},
            AskedPictures(2, "", "512x512", 30),
            2,
        ),
        (FLAT, INVOKE, {"prompt": "a boat", "mode": "text-to-image"}, AskedPictures(1), 1),
        (
            BY_PIXEL,
            GENERATIONS,
            {"model": "flux", "size": "1024x1000"},
            AskedPictures(1, "", "1024x1000"),
            1.024,
        ),
    ],
)
async def test_as_many_pictures_are_held_as_may_be_drawn(
    price: Price, path: str, body: object, asked: AskedPictures, cents: float
) -> None:
    """At the price of what is asked, or of the API's documented default, else the dearest."""
    found = await held(price, path, body)
    assert found.pictures == asked
    assert found.cost_nanousd == round(cents * 10_000_000)


async def test_a_form_s_pictures_are_held_too() -> None:
    """As edits with an upload are sent."""
    fields = {"model": "dall-e-3", "n": "2", "size": "1024x1792", "quality": "hd"}
    parts = [
        f'--b\r\ncontent-disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    ]
    upload = '--b\r\ncontent-disposition: form-data; name="image"; filename="a.png"\r\n\r\nx\r\n'
    raw = ("".join(parts) + upload + "--b--\r\n").encode()
    found = await held(DALL_E_3, "/v1/images/edits", raw, "multipart/form-data; boundary=b")
    assert found.pictures == AskedPictures(2, "hd", "1024x1792")
    assert found.cost_nanousd == 240_000_000


async def test_a_price_by_the_pixel_needs_the_size() -> None:
    """It is asked for by name."""
    body = {"model": "flux", "prompt": "a boat"}
    status, said, _ = refusal(await desk(BY_PIXEL).ask(body, path=GENERATIONS))
    assert (status, said["error"]["param"]) == (400, "size")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", {"model": "flux", "messages": [{"role": "user", "content": "a"}]}),
        ("/v1/responses", {"model": "flux", "input": "a boat"}),
    ],
)
async def test_a_price_by_the_picture_is_none_where_pictures_are_not_counted(
    path: str, body: object
) -> None:
    """Such a call is refused under a budget, or else it would be free."""
    asked = desk(FLAT)
    asked.key(limits=LimitSet(max_budget_nanousd=10**9))
    status, said, _ = refusal(await asked.ask(body, path=path))
    assert status == 400
    assert "is priced by the picture" in said["error"]["message"]


async def test_a_strict_limit_has_room_for_all_pictures_or_refuses() -> None:
    """Nothing in a request for pictures can be lowered so that it fits."""
    limit = Limit(Meter.USD, 100_000_000, Forever(), Enforcement(strict=True))
    asked = desk(DALL_E_3)
    asked.key(limits=limit_set(limit))
    body = {"model": "dall-e-3", "n": 2, "size": "1024x1024", "quality": "standard"}
    found = admission(await asked.ask(body, path=GENERATIONS)).reservation
    assert found is not None
    assert found.worst is not None
    assert found.worst.cost_nanousd == 80_000_000
    asked = desk(DALL_E_3)
    asked.key(limits=limit_set(limit))
    status, said, _ = refusal(await asked.ask({**body, "n": 3}, path=GENERATIONS))
    assert (status, "exceeded" in str(said)) == (401, True)


async def test_names_that_others_read_as_the_size_are_refused() -> None:
    """Go's parsers take Size for size."""
    body = {"model": "dall-e-3", "size": "1024x1024", "Size": "1024x1792"}
    assert refusal(await desk(DALL_E_3).ask(body, path=GENERATIONS))[0] == 400


async def test_a_model_that_is_priced_by_tokens_holds_no_pictures() -> None:
    """Its request travels as before."""
    found = await held(
        replace(Desk().price), GENERATIONS, {"model": "dall-e-3", "prompt": "a boat", "n": 2}
    )
    assert found.pictures is None

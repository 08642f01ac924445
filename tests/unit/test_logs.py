"""Log lines, for people and as JSON."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import httpx
import pytest
from tests.make import reservation

from tollgate import logs, telemetry
from tollgate.core.calls.decision import Refusal
from tollgate.core.calls.reservation import Settlement
from tollgate.core.calls.usage import Usage

SETTLED = Settlement(Usage(3, 4), 500, 200, "ext_proc")


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root, own = logging.getLogger(), logging.getLogger("tollgate")
    before = root.handlers[:], root.level, own.level
    yield
    logs.configure("console", "info")
    root.handlers, root.level = before[:2]
    own.setLevel(before[2])


def test_a_settlement_is_a_line_at_debug(capsys: pytest.CaptureFixture[str]) -> None:
    """With the request's id, what it used and what it cost."""
    logs.configure("json", "debug")
    telemetry.settled(reservation("id-1"), SETTLED, "openai")
    line = json.loads(capsys.readouterr().err)
    assert (line["level"], line["request_id"], line["certainty"]) == ("debug", "id-1", "exact")
    assert "'gpt-4o', 3 + 4 tokens, 500 nano-dollars" in line["message"]


def test_a_settlement_is_no_line_otherwise(capsys: pytest.CaptureFixture[str]) -> None:
    """Nor is anything that libraries tell at debug."""
    logs.configure("json", "info")
    telemetry.settled(reservation("id-1"), SETTLED, "openai")
    logs.configure("json", "debug")
    logging.getLogger("httpx").debug("a library's")
    assert capsys.readouterr().err == ""


def test_a_refusal_is_a_line_with_its_members(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("json", "info")
    telemetry.refused(Refusal(429, "limit", "Too many.", b""), "id-2", "bob")
    line = json.loads(capsys.readouterr().err)
    assert {name: line[name] for name in ("request_id", "key", "status", "reason")} == {
        "request_id": "id-2",
        "key": "bob",
        "status": 429,
        "reason": "limit",
    }


async def test_no_line_holds_the_url_of_a_webhook(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever knows it may post there."""
    logs.configure("console", "debug")
    answers = httpx.MockTransport(lambda _: httpx.Response(200))
    async with httpx.AsyncClient(transport=answers) as client:
        await client.post("https://hooks.example/services/planted-secret")
    assert capsys.readouterr().err == ""


def test_an_exception_stays_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("json", "info")
    try:
        raise ValueError("two\nlines")
    except ValueError:
        telemetry.failed("a test")
    line = json.loads(capsys.readouterr().err)
    assert "ValueError: two" in line["exception"]


@pytest.mark.parametrize(
    ("written", "level", "message"),
    [
        ('{"time": "t", "level": "error", "message": "m"}', "error", "m"),
        ("plain words of a program", "info", "plain words of a program"),
        ("warning: look here", "warning", "look here"),
        ("{no JSON", "info", "{no JSON"),
    ],
)
def test_a_line_of_another_process_carries_its_name(
    capsys: pytest.CaptureFixture[str], written: str, level: str, message: str
) -> None:
    logs.configure("json", "info")
    logs.relay("worker-1", written)
    line = json.loads(capsys.readouterr().err)
    assert (line["process"], line["level"], line["message"]) == ("worker-1", level, message)


def test_people_read_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("console", "info")
    logs.say("ready: http://127.0.0.1:4000")
    logs.relay("worker-1", "words")
    assert capsys.readouterr() == ("ready: http://127.0.0.1:4000\n", "worker-1 | words\n")

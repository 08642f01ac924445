"""The usage reader over bodies made by us: each API and framing, whole and byte by byte."""

from __future__ import annotations

import pytest
from tests.unit.core.usage.usage_anthropic import ANTHROPIC
from tests.unit.core.usage.usage_bedrock import BEDROCK
from tests.unit.core.usage.usage_case import PRICE, Case, table
from tests.unit.core.usage.usage_compatible import CHAT_AND_TEXT
from tests.unit.core.usage.usage_google import GEMINI
from tests.unit.core.usage.usage_media import RESPONSES_AND_MEDIA
from tests.unit.core.usage.usage_others import COHERE_AND_OLLAMA

from tollgate.core.money.billing import cost_nanousd
from tollgate.core.usage import UsageReader

APIS = table()
ALL = [*CHAT_AND_TEXT, *RESPONSES_AND_MEDIA, *ANTHROPIC, *GEMINI, *BEDROCK, *COHERE_AND_OLLAMA]
CASES = [pytest.param(case, id=f"{case.api}: {case.name}") for case in ALL]


def reader(case: Case) -> UsageReader:
    return UsageReader(APIS[case.api], case.content_type, headers=case.headers)


@pytest.mark.parametrize("case", CASES)
def test_a_whole_body_tells_its_usage(case: Case) -> None:
    """Fed at once, a body gives the tokens that it tells, and whether it was at its end."""
    read = reader(case)
    read.feed(case.body)
    read.finish()
    assert (case.usage, case.finished) == (read.usage(), read.finished)


@pytest.mark.parametrize("case", CASES)
def test_a_body_byte_by_byte_tells_the_same(case: Case) -> None:
    """Fed by single bytes, or by pieces where it is long, a body gives the same."""
    read = reader(case)
    step = 1 if len(case.body) < 10_000 else 1_009
    for start in range(0, len(case.body), step):
        read.feed(case.body[start : start + step])
    read.finish()
    assert (case.usage, case.finished) == (read.usage(), read.finished)


@pytest.mark.parametrize("case", CASES)
def test_a_body_costs_what_its_tokens_do(case: Case) -> None:
    """To the nano-dollar; the arithmetic stands beside each body, at the prices of
    usage_case.PRICE.
    """
    assert case.nanousd == (None if case.usage is None else cost_nanousd(case.usage, PRICE))


def test_the_table_of_bodies_is_no_shorter_than_promised() -> None:
    """At least 80 bodies over all APIs."""
    assert set(APIS) == {case.api for case in ALL}
    assert len(CASES) >= 80

"""Entities as documents."""

from __future__ import annotations

import msgspec
from tests.make import limit_set

from tollgate.adapters.valkey.entities.documents import decode, encode
from tollgate.core.entities import Key, ModelLimits
from tollgate.core.limits.accounts import Meter
from tollgate.core.limits.limit import Bucket, Forever, InFlight, Limit, Recurring

LIMITS = limit_set(
    Limit(Meter.USD, 9, Recurring("1mo", "Europe/Berlin", 7)),
    Limit(Meter.INPUT_TOKENS, 8, Bucket(3600)),
    Limit(Meter.TOKENS, 7, Forever()),
    rpm=1,
    parallel=0,
    max_budget_nanousd=5,
)


def test_every_window_is_read_as_it_was_written() -> None:
    """Limits stand in the order in which they are checked."""
    key = Key("h", "sk-...", limits=LIMITS, model_limits=(ModelLimits("m", LIMITS),))
    assert decode(Key, encode(key)) == key
    assert [each.window for each in key.limits.limits] == [
        Bucket(60),
        Forever(),
        Bucket(3600),
        InFlight(),
        Recurring("1mo", "Europe/Berlin", 7),
    ]


def test_a_document_of_the_first_version_keeps_its_limits() -> None:
    """It had three of them as fields; null was no limit, 0 was one."""
    first = {"rpm": 3, "tpm": None, "parallel": 0, "max_budget_nanousd": 5, "budget_since_us": 7}
    document = {
        "hash": "h",
        "name": "sk-...",
        "limits": first,
        "model_limits": [{"model": "m", "limits": {**first, "tpm": 4}}],
        "metadata": '{"rpm":1}',
    }
    key = decode(Key, msgspec.json.encode(document))
    limits = limit_set(rpm=3, parallel=0, max_budget_nanousd=5, budget_since_us=7)
    assert key.limits == limits
    assert key.model_limits == (ModelLimits("m", limits.with_amount("tpm_limit", 4)),)
    assert key.metadata == '{"rpm":1}'

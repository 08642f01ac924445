"""A record of the ledger as text."""

from __future__ import annotations

import json

import pytest
from msgspec import structs
from tests.make import KEY, TEAM, account_of, reservation

from tollgate.core.calls import record_text
from tollgate.core.calls.bill import Bill, Line
from tollgate.core.calls.passed_limits import LimitPassed
from tollgate.core.calls.records import Record
from tollgate.core.calls.reservation import Settlement, WorstCase
from tollgate.core.calls.usage import Certainty, Counts, Pass, Usage
from tollgate.core.limits.accounts import Account, Meter, Scope, ScopeKind

HELD = structs.replace(
    reservation(
        "r1",
        account_of(TEAM, rpm=5),
        account_of(Scope(ScopeKind.KEY, KEY.id, "gpt-4o"), tpm=70),
        Account(KEY),
    ),
    admitted_us=1,
    model="gpt-4o",
    deployment="gpt-4o-0123",
    shadow="key tokens",
    instead_of="o3",
    worst=WorstCase(3, 4, 5),
    levels=(1, 2, 3, 4),
)
COUNTED = {name: number for number, name in enumerate(Counts.__struct_fields__, 1)}
USED = Usage(
    **COUNTED,
    reply_model="gpt-4o-mini",
    service_tier="flex",
    passes=(Pass(3, 4, model="claude", kind="message"),),
    geography="us",
    provisioned=True,
    told_nanousd=9,
    search_context="low",
    certainty=Certainty.PARTIAL,
)
BILL = Bill("file", 200_000, "flex", (Line("input", 3, 4),), ("search",), "us", "2026-01-01")
SETTLED = Settlement(USED, 17, 502, "ext_proc", BILL, told=True, other_model=True)
RECORD = Record(
    **COUNTED,
    reply_model="gpt-4o-mini",
    service_tier="flex",
    passes=USED.passes,
    geography="us",
    provisioned=True,
    told_nanousd=9,
    search_context="low",
    id="r1",
    admitted_us=1,
    model="gpt-4o",
    deployment="gpt-4o-0123",
    scopes=(f"team:{TEAM.id}", f"key:{KEY.id}"),
    status=502,
    cost_nanousd=17,
    certainty="partial",
    settled_by="ext_proc",
    other_model=True,
    bill=BILL,
    shadow="key tokens",
    instead_of="o3",
    passed=(
        LimitPassed(0, Meter.REQUESTS, 5, 60),
        LimitPassed(1, Meter.TOKENS, 70, 60, only_for="gpt-4o"),
    ),
    levels=(1, 2, 3, 4),
    kept=WorstCase(3, 4, 5),
)


def test_a_record_tells_all_of_its_call() -> None:
    """Each field has a value of its own here, so none is in another's place or left out."""
    assert record_text.decode(record_text.encode(HELD, SETTLED)) == RECORD
    fields = structs.fields(Record)
    assert [each.name for each in fields if getattr(RECORD, each.name) == each.default] == []


@pytest.mark.parametrize("certainty", list(Certainty))
def test_what_a_call_does_not_have_takes_no_room(certainty: Certainty) -> None:
    """But for what every record has, be it zero. The store keeps a month of records."""
    held = structs.replace(HELD, shadow="", instead_of="", worst=None, levels=())
    settled = Settlement(Usage(certainty=certainty), 0, 0, "lease")
    assert json.loads(record_text.encode(held, settled)) == {
        "id": "r1",
        "admitted_us": 1,
        "model": "gpt-4o",
        "deployment": "gpt-4o-0123",
        "scopes": [f"team:{TEAM.id}", f"key:{KEY.id}"],
        "status": 0,
        "cost_nanousd": 0,
        "certainty": certainty.value,
        "settled_by": "lease",
    }

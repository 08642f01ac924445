"""What a record was charged for, by kind."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tollgate.core.calls.bill import NO_BILL, Bill, Line
from tollgate.core.calls.ledger_sums import ChargedPart, charged_parts
from tollgate.core.calls.records import Record


def a_record(cost_nanousd: int, bill: Bill = NO_BILL, input_tokens: int = 0) -> Record:
    return Record(
        input_tokens,
        id="r",
        admitted_us=0,
        model="m",
        deployment="d",
        scopes=(),
        status=200,
        cost_nanousd=cost_nanousd,
        certainty="exact",
        settled_by="test",
        bill=bill,
    )


LINES = st.lists(
    st.builds(Line, st.sampled_from("abc"), st.integers(1, 10**6), st.integers(0, 10**12)),
    max_size=5,
)


@given(LINES, st.one_of(st.none(), st.integers(0, 10**15)))
def test_parts_add_up_to_the_cost_exactly(lines: list[Line], told: int | None) -> None:
    """Whether the bill or the provider said what the call cost."""
    bill = Bill(lines=tuple(lines))
    cost = bill.cost_nanousd if told is None else told
    parts = charged_parts(a_record(cost, bill))
    assert sum(each.nanousd for each in parts) == cost
    assert all(each.nanousd >= 0 for each in parts)
    kinds = {each.kind: each.units for each in parts if each.kind != "unspecified"}
    assert kinds == {
        kind: sum(line.units for line in lines if line.kind == kind)
        for kind in {line.kind for line in lines}
    }


def test_dollars_without_a_bill_are_unspecified() -> None:
    """As those of a call that expired; its tokens cost nothing apart."""
    assert charged_parts(a_record(7)) == [ChargedPart("unspecified", 1, 7)]
    assert charged_parts(a_record(7, input_tokens=3)) == [
        ChargedPart("unspecified", 1, 7),
        ChargedPart("input", 3, 0),
    ]
    assert charged_parts(a_record(0)) == []

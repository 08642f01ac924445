"""Totals of records, added up."""

from __future__ import annotations

from dataclasses import fields

from tollgate.core.calls.ledger_sums import LedgerSums


def test_totals_are_added_in_every_field() -> None:
    """Also in one that is new."""
    count = len(fields(LedgerSums))
    sums = LedgerSums(*range(1, count + 1))
    sums.add_sums(LedgerSums(*(10 * number for number in range(1, count + 1))))
    assert sums.amounts() == tuple(11 * number for number in range(1, count + 1))

"""A record of the ledger as text: what the store keeps, the recorder hands on and reports read.

What a record says of its caller is the same for all calls of the caller, so its JSON is made once.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, Raw, structs

from tollgate.core.calls.passed_limits import limits_passed
from tollgate.core.calls.records import Record, payer_names
from tollgate.core.calls.reservation import Reservation, Settlement
from tollgate.core.limits.accounts import Accounts, accounts_bytes
from tollgate.core.memo import Memo

decode = msgspec.json.Decoder(Record).decode
"""Return a record from its JSON. Raises msgspec.DecodeError for anything else."""
_encode = msgspec.json.Encoder().encode


def _caller(accounts: Accounts) -> tuple[Raw, Raw]:
    """Return the payers and the limits of a caller's calls."""
    return Raw(_encode(payer_names(accounts))), Raw(_encode(limits_passed(accounts)))


_callers: Memo[Accounts, tuple[Raw, Raw]] = Memo(_caller, accounts_bytes)
# Of calls whose limits were not told apart, such as those whose lease expired.
_payers: Memo[Accounts, tuple[str, ...]] = Memo(payer_names, accounts_bytes)
# A record whose values are given in the order of its fields: by name takes six times as long, and
# a Record takes no JSON.
_Written: Any = msgspec.defstruct(
    "_Written",
    [(each.name, Any, UNSET if each.required else each.default) for each in structs.fields(Record)],
    frozen=True,
    omit_defaults=True,
)


def encode(reservation: Reservation, settlement: Settlement) -> bytes:
    """Return the record of a settled reservation as JSON."""
    accounts, levels = reservation.accounts, reservation.levels
    payers, passed = _callers.get(accounts) if levels else (_payers.get(accounts), ())
    *told, _ = structs.astuple(settlement.usage)  # the last one is its certainty
    return _encode(
        _Written(
            *told,
            reservation.id,
            reservation.admitted_us,
            reservation.model,
            reservation.deployment,
            payers,
            settlement.status,
            settlement.cost_nanousd,
            settlement.certainty,
            settlement.settled_by,
            settlement.other_model,
            settlement.bill,
            reservation.shadow,
            reservation.instead_of,
            passed,
            levels,
            reservation.worst if settlement.unsure else None,
        )
    )

"""The ledger record: what is kept of one settled request, as JSON."""

from __future__ import annotations

import re

from msgspec import Struct

from tollgate.core.bill import NO_BILL, Bill
from tollgate.core.entities import Accounts, Reservation, Settlement
from tollgate.core.memo import Memo

_TIME_DIGITS = 12  # of milliseconds since the epoch, enough for the next 8,900 years
_RANDOM_DIGITS = 16


def request_id(now_us: int, random: int) -> str:
    """An id for a request: when it came, and 64 random bits. So the ledger is searched around that time, and needs no index."""
    return f"{now_us // 1000:0{_TIME_DIGITS}x}{random:0{_RANDOM_DIGITS}x}"


def find_begin_us(identity: str) -> int | None:
    """When the request of that id came; None: no id of ours."""
    if not re.fullmatch(rf"[0-9a-f]{{{_TIME_DIGITS + _RANDOM_DIGITS}}}", identity):
        return None
    return int(identity[:_TIME_DIGITS], 16) * 1000


class Record(Struct, frozen=True, omit_defaults=True):
    """One settled request. Costs are nano-dollars, times microseconds; `scopes` are the entities that paid, `kind:id`.

    `reply_model`, `service_tier`: as the provider's reply names them. `bill`: the price that was used, and the arithmetic.
    """

    id: str
    admitted_us: int
    model: str
    deployment: str
    scopes: tuple[str, ...]
    status: int
    cost_nanousd: int
    certainty: str
    settled_by: str
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_5m_tokens: int = 0
    cache_write_1h_tokens: int = 0
    reasoning_tokens: int = 0
    input_audio_tokens: int = 0
    output_audio_tokens: int = 0
    input_image_tokens: int = 0
    output_image_tokens: int = 0
    searches: int = 0
    audio_seconds: int = 0
    reply_model: str | None = None
    service_tier: str | None = None
    bill: Bill = NO_BILL


def _names(accounts: Accounts) -> tuple[str, ...]:
    return tuple(f"{each.scope.kind.value}:{each.scope.id}" for each in accounts if each.scope.model is None)


_payers: Memo[Accounts, tuple[str, ...]] = Memo(_names)


def record(reservation: Reservation, settlement: Settlement) -> Record:
    """The record of a reservation that was settled."""
    usage = settlement.usage
    return Record(
        id=reservation.id,
        admitted_us=reservation.admitted_us,
        model=reservation.model,
        deployment=reservation.deployment,
        scopes=_payers.get(reservation.accounts),
        status=settlement.status,
        cost_nanousd=settlement.cost_nanousd,
        certainty=usage.certainty.value,
        settled_by=settlement.settled_by,
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cache_read_tokens,
        cache_write_5m_tokens=usage.cache_write_5m_tokens,
        cache_write_1h_tokens=usage.cache_write_1h_tokens,
        reasoning_tokens=usage.reasoning_tokens,
        input_audio_tokens=usage.input_audio_tokens,
        output_audio_tokens=usage.output_audio_tokens,
        input_image_tokens=usage.input_image_tokens,
        output_image_tokens=usage.output_image_tokens,
        searches=usage.searches,
        audio_seconds=usage.audio_seconds,
        reply_model=usage.model,
        service_tier=usage.service_tier,
        bill=settlement.bill,
    )

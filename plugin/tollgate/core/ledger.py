"""The ledger record: what is kept of one settled request, as JSON."""

from __future__ import annotations

from msgspec import Struct

from tollgate.core.entities import LimitKind, Reservation, Settlement


class Record(Struct, frozen=True, omit_defaults=True):
    """One settled request. Costs are nano-dollars, times microseconds; `scopes` are the entities that paid, `kind:id`."""

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


def record(reservation: Reservation, settlement: Settlement) -> Record:
    """The record of a reservation that was settled."""
    usage = settlement.usage
    return Record(
        id=reservation.id,
        admitted_us=reservation.admitted_us,
        model=reservation.model,
        deployment=reservation.deployment,
        scopes=tuple(
            f"{charge.scope.kind.value}:{charge.scope.id}"
            for charge in reservation.charges
            if charge.kind is LimitKind.BUDGET and charge.scope.model is None
        ),
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
    )

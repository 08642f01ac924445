"""The cost of one request over HTTP.

Exact amounts are decimal strings, since a float could not represent them.
"""

from __future__ import annotations

from msgspec import structs

from tollgate.adapters.http_api.wire.parts.base import ResponseBody
from tollgate.adapters.http_api.wire.parts.types import PrintedTime
from tollgate.core.calls.bill import FEMTO_PER_NANO
from tollgate.core.calls.passed_limits import Passage
from tollgate.core.limits.accounts import Meter
from tollgate.core.money.dollars import dollars_of
from tollgate.ports import Settled


class PriceUsed(ResponseBody):
    """The row of the price table that applied.

    - `as_of`: the day that the row names, or null.
    - `above_input_tokens`: the tier.
    - `service_tier`: null means the standard one.
    - `geography`: where the call ran, if that changed the price.
    """

    source: str
    as_of: str | None
    above_input_tokens: int
    service_tier: str | None
    geography: str | None


class CostLine(ResponseBody):
    """`units` times `nanousd_each` is `nanousd`."""

    kind: str
    units: int
    nanousd_each: str
    nanousd: str


class Tokens(ResponseBody):
    """What the reply reported, or the estimate that replaced it.

    Parts are included in `input_tokens` and `output_tokens`, except `citation_tokens`.
    """

    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_5m_tokens: int
    cache_write_1h_tokens: int
    reasoning_tokens: int
    input_audio_tokens: int
    output_audio_tokens: int
    input_image_tokens: int
    output_image_tokens: int
    searches: int
    audio_seconds: int
    input_video_tokens: int
    output_video_tokens: int
    cache_read_audio_tokens: int
    cache_read_image_tokens: int
    citation_tokens: int
    map_searches: int
    sources: int
    file_searches: int
    code_containers: int
    image_calls: int
    pages: int
    characters: int
    output_images: int


class PassTokens(Tokens):
    """One pass: a run of a model within the call.

    `model`: null means the call's own model. `kind`: the provider's name for the pass.
    """

    kind: str
    model: str | None


class PassedLimit(ResponseBody):
    """A limit that the call passed, and where it stood: dollars, tokens, requests, or calls in
    flight.

    - `before`: what was used when the call was admitted; `held`: what calls in flight set aside
      beside it then, this one included.
    - `used`: what this call used; `after`: `before` and `used`, without what other calls used
      meanwhile, or what a rate refilled.
    """

    scope: str
    scope_id: str
    model: str | None
    meter: str
    window: str | None
    amount: float
    shadow: bool
    share: bool
    before: float
    held: float
    used: float
    after: float


class Explanation(ResponseBody):
    """The answer of /spend/explain.

    - `cost_nanousd`: `sum_nanousd` rounded half up. Without a price (null) nothing is charged.
    - `other_model`: `reply_model` is not the admitted one, apart from a date.
    - `instead_of`: the model that was asked for, where a limit let another one serve.
    - `passes`: runs that were billed separately; `tokens` includes them.
    - `shadow`: the limits in shadow mode that the call did not fit.
    - `told_nanousd`: the cost that the provider reports; charged where the deployment trusts it.
    - `unpriced`: parts without a price, charged at the price of what includes them, or not at all.
    - `limits`: those that the call passed, the widest scope first; empty where its lease expired.
    """

    request_id: str
    model: str
    model_id: str
    reply_model: str | None
    other_model: bool
    reply_service_tier: str | None
    geography: str | None
    provisioned: bool
    search_context: str | None
    status: int
    usage: str
    settled_by: str
    startTime: PrintedTime  # noqa: N815 - LiteLLM's name
    endTime: PrintedTime  # noqa: N815 - LiteLLM's name
    tokens: Tokens
    passes: tuple[PassTokens, ...]
    told_nanousd: int | None
    price: PriceUsed | None
    lines: tuple[CostLine, ...]
    unpriced: tuple[str, ...]
    sum_nanousd: str
    cost_nanousd: int
    spend: float
    shadow: str
    instead_of: str
    limits: tuple[PassedLimit, ...]


def explanation(settled: Settled) -> Explanation:
    """Return a record of the ledger with its arithmetic."""
    record, bill = settled.record, settled.record.bill
    price = PriceUsed(
        source=bill.source,
        as_of=bill.as_of or None,
        above_input_tokens=bill.above_input_tokens,
        service_tier=bill.service_tier or None,
        geography=bill.geography or None,
    )
    lines = (
        CostLine(
            kind=line.kind,
            units=line.units,
            nanousd_each=_exact(line.rate_femtousd),
            nanousd=_exact(line.femtousd),
        )
        for line in bill.lines
    )
    return Explanation(
        request_id=record.id,
        model=record.model,
        model_id=record.deployment,
        reply_model=record.reply_model,
        other_model=record.other_model,
        reply_service_tier=record.service_tier,
        geography=record.geography,
        provisioned=record.provisioned,
        search_context=record.search_context,
        status=record.status,
        usage=record.certainty,
        settled_by=record.settled_by,
        startTime=record.admitted_us,
        endTime=settled.settled_us,
        tokens=Tokens(**{name: getattr(record, name) for name in Tokens.model_fields}),
        passes=tuple(PassTokens(**structs.asdict(each)) for each in record.passes),
        told_nanousd=record.told_nanousd,
        price=price if bill.source else None,
        lines=tuple(lines),
        unpriced=bill.unpriced,
        sum_nanousd=_exact(bill.femtousd),
        cost_nanousd=record.cost_nanousd,
        spend=dollars_of(record.cost_nanousd),
        shadow=record.shadow,
        instead_of=record.instead_of,
        limits=tuple(map(_passed, record.passages)),
    )


def _passed(passage: Passage) -> PassedLimit:
    limit = passage.limit
    scope, _, identity = passage.payer.partition(":")

    def printed(amount: int) -> float:
        return dollars_of(amount) if limit.meter is Meter.USD else amount

    return PassedLimit(
        scope=scope,
        scope_id=identity,
        model=limit.only_for,
        meter=limit.meter.value,
        window=limit.window or None,
        amount=printed(limit.amount),
        shadow=limit.shadow,
        share=limit.share,
        before=printed(passage.before),
        held=printed(passage.held),
        used=printed(passage.used),
        after=printed(passage.after),
    )


def _exact(femtousd: int) -> str:
    """Return nano-dollars with their exact fraction."""
    whole, rest = divmod(femtousd, FEMTO_PER_NANO)
    if rest:
        return f"{whole}.{rest:06d}".rstrip("0").rstrip(".")
    return str(whole)

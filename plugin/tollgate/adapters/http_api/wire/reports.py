"""Spend and models over HTTP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from tollgate.adapters.http_api.wire.parts.base import RequestBody, ResponseBody
from tollgate.adapters.http_api.wire.parts.types import Count, Identifier, PrintedTime
from tollgate.core.calls.refusal_records import RefusalRecord
from tollgate.core.calls.usage import Usage
from tollgate.core.errors import BadRequest
from tollgate.core.limits.accounts import ScopeKind
from tollgate.core.money.dollars import dollars_of
from tollgate.ports import Settled
from tollgate.ports.history_ports import Group, UsageRow
from tollgate.reporting.refused import find_scope
from tollgate.reporting.reports import find_payer
from tollgate.reporting.usage_sums import DaySum

_BYTES_PER_TOKEN = 3  # a rough mean over English text and code


class Calculate(RequestBody):
    """POST /spend/calculate: the cost of a reply, or of sending its messages."""

    model: Identifier | None = None
    messages: list[Any] | None = None
    completion_response: dict[str, Any] | None = None

    def named_model(self) -> str:
        """Return the model in question. Raises BadRequest."""
        model = self.model or (self.completion_response or {}).get("model")
        if not isinstance(model, str):
            raise BadRequest("model is required, here or in completion_response", "model")
        return model

    def usage(self) -> Usage:
        """Return the reply's own usage, or an estimate from the messages. Raises BadRequest."""
        if self.completion_response is not None:
            return _Usage.model_validate(self.completion_response.get("usage") or {}).usage()
        if self.messages is None:
            raise BadRequest("messages or completion_response is required", "messages")
        text = sum(
            len(str(each.get("content") or "").encode())
            for each in self.messages
            if isinstance(each, dict)
        )
        return Usage(input_tokens=max(1, text // _BYTES_PER_TOKEN))


class _Details(ResponseBody):
    cached_tokens: Count = 0


class _Usage(ResponseBody):
    """OpenAI's and Anthropic's counts."""

    prompt_tokens: Count = 0
    completion_tokens: Count = 0
    input_tokens: Count = 0
    output_tokens: Count = 0
    prompt_tokens_details: _Details | None = None

    def usage(self) -> Usage:
        """Return the counts as Usage."""
        cached = (
            0 if self.prompt_tokens_details is None else self.prompt_tokens_details.cached_tokens
        )
        return Usage(
            input_tokens=self.prompt_tokens or self.input_tokens,
            output_tokens=self.completion_tokens or self.output_tokens,
            cache_read_tokens=cached,
        )


class Cost(ResponseBody):
    """The answer of /spend/calculate."""

    cost: float


class GlobalSpend(ResponseBody):
    """The answer of /global/spend."""

    spend: float
    max_budget: float | None


class SpendLog(ResponseBody):
    """A record of the ledger. `api_key` is the key's hash, `end_user` the customer."""

    request_id: str
    api_key: str
    user: str
    team_id: str | None
    end_user: str
    model: str
    model_id: str
    spend: float
    total_tokens: int
    prompt_tokens: int
    completion_tokens: int
    cache_read_input_tokens: int
    cache_creation_input_tokens: int
    status: int
    usage: str
    shadow: str = ""
    counted_in: tuple[str, ...] = ()
    startTime: PrintedTime  # noqa: N815 - LiteLLM's name
    endTime: PrintedTime  # noqa: N815 - LiteLLM's name


def refused_log(record: RefusalRecord) -> SpendLog:
    """Return a refused request among records of the ledger: nothing was used."""
    return SpendLog(
        request_id=record.id,
        api_key=find_scope(record, ScopeKind.KEY) or "",
        user=find_scope(record, ScopeKind.USER) or "",
        team_id=find_scope(record, ScopeKind.TEAM),
        end_user=find_scope(record, ScopeKind.CUSTOMER) or "",
        model=record.model,
        model_id="",
        spend=0.0,
        total_tokens=0,
        prompt_tokens=0,
        completion_tokens=0,
        cache_read_input_tokens=0,
        cache_creation_input_tokens=0,
        status=record.status,
        usage="refused",
        startTime=record.refused_us,
        endTime=record.refused_us,
    )


class SpendDay(ResponseBody):
    """The sums of a day."""

    startTime: str  # noqa: N815 - LiteLLM's name
    spend: float
    models: dict[str, float]
    users: dict[str, float]


def log(settled: Settled) -> SpendLog:
    """Return a record of the ledger, as LiteLLM prints it."""
    record = settled.record
    return SpendLog(
        request_id=record.id,
        api_key=find_payer(settled, ScopeKind.KEY) or "",
        user=find_payer(settled, ScopeKind.USER) or "",
        team_id=find_payer(settled, ScopeKind.TEAM),
        end_user=find_payer(settled, ScopeKind.CUSTOMER) or "",
        model=record.model,
        model_id=record.deployment,
        spend=dollars_of(record.cost_nanousd),
        total_tokens=record.input_tokens + record.output_tokens,
        prompt_tokens=record.input_tokens,
        completion_tokens=record.output_tokens,
        cache_read_input_tokens=record.cache_read_tokens,
        cache_creation_input_tokens=record.cache_write_5m_tokens + record.cache_write_1h_tokens,
        status=record.status,
        usage=record.certainty,
        shadow=record.shadow,
        counted_in=record.scopes,
        startTime=record.admitted_us,
        endTime=settled.settled_us,
    )


def day(summed: DaySum) -> SpendDay:
    """Return the sums of a day, in dollars."""
    return SpendDay(
        startTime=summed.day.isoformat(),
        spend=dollars_of(summed.total),
        models=_in_dollars(summed.by_model),
        users=_in_dollars(summed.by_user),
    )


def _in_dollars(sums: Mapping[str, int]) -> dict[str, float]:
    return {name: dollars_of(nanousd) for name, nanousd in sums.items()}


class SpendSumRow(ResponseBody):
    """What one group used. `group`: an id, a model, or a day; `nanousd` is exact."""

    group: str
    requests: int
    failures: int
    prompt_tokens: int
    completion_tokens: int
    spend: float
    nanousd: int


def spend_sums(group: Group, rows: Sequence[UsageRow]) -> list[SpendSumRow]:
    """Return sums by one group, the greatest first; times in their order."""
    named = [(row.groups[0], row.sums) for row in rows if row.groups[0]]
    if group is Group.HOUR:
        named = [(_hour(name), sums) for name, sums in named]
    if group in (Group.DAY, Group.HOUR):
        named.sort(key=lambda each: each[0])
    else:
        named.sort(key=lambda each: (-each[1].nanousd, each[0]))
    return [
        SpendSumRow(
            group=name,
            requests=sums.requests,
            failures=sums.failures,
            prompt_tokens=sums.input_tokens,
            completion_tokens=sums.output_tokens,
            spend=dollars_of(sums.nanousd),
            nanousd=sums.nanousd,
        )
        for name, sums in named
    ]


def _hour(name: str) -> str:
    return datetime.fromtimestamp(int(name) * 3600, UTC).isoformat()

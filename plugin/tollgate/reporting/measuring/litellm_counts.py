"""Tell LiteLLM's own Prometheus metrics, so that its dashboards keep working.

Names and labels are those of LiteLLM 1.109 (https://docs.litellm.ai/docs/proxy/prometheus), as far
as a settled call tells them; labels that it does not tell are absent. As many keys as the setting
allows have labels of their own, and all others share `other`.

Importing this module registers the metrics, so only a process that tells them does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from prometheus_client import Counter, Gauge

from tollgate import telemetry
from tollgate.core.calls.reservation import Reservation, Settlement
from tollgate.core.errors import StoreUnavailable
from tollgate.core.limits.accounts import Account, Meter, Scope, ScopeKind
from tollgate.core.limits.limit_parts import expanded, folded, whole_of
from tollgate.core.money.dollars import dollars_of
from tollgate.counting import OTHER, labelled, model_label
from tollgate.ports import Clock, Counters
from tollgate.reporting.levels import Level, levels_of
from tollgate.reporting.measuring.scope_labels import LabelBook, ScopeNames

_US_PER_HOUR = 3_600_000_000
_REFUSED_BELOW = 400
LABELS_OF: Final = "litellm"
"""The name in the book of labels of the keys that have labels of their own."""

_WHO = ("hashed_api_key", "api_key_alias", "team", "team_alias", "user")
_CALL = (*_WHO, "model", "requested_model", "model_id")
_ASKED = (*_WHO, "requested_model")
_SPEND = Counter("litellm_spend_metric", "Dollars of settled calls", _CALL)
_TOKENS = Counter("litellm_total_tokens_metric", "Input and output tokens", _CALL)
_INPUT = Counter("litellm_input_tokens_metric", "Input tokens", _CALL)
_OUTPUT = Counter("litellm_output_tokens_metric", "Output tokens", _CALL)
_REQUESTS = Counter("litellm_requests_metric", "Settled calls", _CALL)
_ALL = Counter(
    "litellm_proxy_total_requests_metric", "Calls, refused ones too", (*_ASKED, "status_code")
)
_FAILED = Counter(
    "litellm_proxy_failed_requests_metric",
    "Calls that were refused or failed",
    (*_ASKED, "exception_status"),
)
_OWNERS: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    ScopeKind.KEY: ("api_key", ("hashed_api_key", "api_key_alias")),
    ScopeKind.TEAM: ("team", ("team", "team_alias")),
    ScopeKind.USER: ("user", ("user",)),
    ScopeKind.ORGANIZATION: ("org", ("org_id", "org_alias")),
}
"""The kinds of scope whose budgets are told: their name in metrics, and their labels."""


def _gauges(name: str) -> dict[str, Gauge]:
    return {
        kind: Gauge(
            name.format(owner), "Of the budget of the scope", labels, multiprocess_mode="mostrecent"
        )
        for kind, (owner, labels) in _OWNERS.items()
    }


_REMAINING = _gauges("litellm_remaining_{}_budget_metric")
_MOST = _gauges("litellm_{}_max_budget_metric")
_HOURS = _gauges("litellm_{}_budget_remaining_hours_metric")


class _Payer(NamedTuple):
    """Whom a call belongs to, by ids; empty where there is none."""

    key: str
    team: str
    user: str


class _Sums:
    """What was used since the last publication."""

    __slots__ = ("input_tokens", "nanousd", "output_tokens", "requests")

    def __init__(self) -> None:
        self.requests = self.input_tokens = self.output_tokens = self.nanousd = 0


class LitellmCounts:
    """Sums by payer and model, until they are published, and the budgets of who called."""

    def __init__(
        self, names: ScopeNames, book: LabelBook, counters: Counters, clock: Clock
    ) -> None:
        self._names = names
        self._book = book
        self._counters = counters
        self._clock = clock
        self._sums: dict[tuple[_Payer, str, str, str], _Sums] = {}
        self._answers: dict[tuple[_Payer, str, int], int] = {}
        self._budgets: dict[tuple[str, Scope], Account] = {}
        self._noted = asyncio.Event()

    def settled(self, call: Reservation, settlement: Settlement) -> None:
        """Count a settled call."""
        payer = _payer_of((each.scope.kind, each.scope.id) for each in call.accounts)
        asked = call.instead_of or call.model
        name = payer, call.model, asked, call.deployment
        sums = self._sums.get(name)
        if sums is None:
            sums = self._sums[name] = _Sums()
        sums.requests += 1
        sums.input_tokens += settlement.usage.input_tokens
        sums.output_tokens += settlement.usage.output_tokens
        sums.nanousd += settlement.cost_nanousd
        self._answered(payer, asked, settlement.status)
        for account in call.accounts:
            if not account.limits:
                break  # those that limit come first
            if account.scope.kind in _OWNERS and account.scope.model is None:
                if account.parts > 1:
                    whole = whole_of(account)
                    self._budgets[whole.scope.id, whole.scope] = whole
                else:
                    self._budgets[call.organization, account.scope] = account

    def refused(self, payers: Iterable[str], model: str, status: int) -> None:
        """Count a refused call of scopes, each as `kind:id`."""
        named = [each.partition(":") for each in payers]
        self._answered(_payer_of((kind, identity) for kind, _, identity in named), model, status)

    async def keep_published(self) -> None:
        """Publish forever what is counted. An idle process is not woken."""
        while True:
            await self._noted.wait()
            await asyncio.sleep(telemetry.PUBLISHED_AFTER_S)
            self._noted.clear()
            try:
                await self.publish()
            except StoreUnavailable as error:
                telemetry.store_failed("labels", error)

    async def publish(self) -> None:
        """Publish what was counted. Raises StoreUnavailable; then it is published later."""
        payers = {name[0] for name in self._sums} | {name[0] for name in self._answers}
        scopes = {scope for payer in payers for scope in _scopes_of(payer)}
        scopes |= {(scope.kind, scope.id) for _, scope in self._budgets}
        names = await self._names.find(scopes)
        # A call that came while names were looked up, by somebody new, goes by its ids.
        sums, self._sums = self._sums, {}
        for (payer, model, asked, deployment), each in sums.items():
            self._publish_sums(self._who(payer, names), model, asked, deployment, each)
        answers, self._answers = self._answers, {}
        for (payer, asked, status), times in answers.items():
            who = (*self._who(payer, names), model_label(asked), str(status))
            labelled(_ALL, *who).inc(times)
            if status >= _REFUSED_BELOW or not status:
                labelled(_FAILED, *who).inc(times)
        await self._publish_budgets(names)

    def _publish_sums(
        self, who: tuple[str, ...], model: str, asked: str, deployment: str, sums: _Sums
    ) -> None:
        labels = (*who, model_label(model), model_label(asked), deployment)
        labelled(_REQUESTS, *labels).inc(sums.requests)
        labelled(_INPUT, *labels).inc(sums.input_tokens)
        labelled(_OUTPUT, *labels).inc(sums.output_tokens)
        labelled(_TOKENS, *labels).inc(sums.input_tokens + sums.output_tokens)
        labelled(_SPEND, *labels).inc(dollars_of(sums.nanousd))

    async def _publish_budgets(self, names: Mapping[tuple[str, str], str]) -> None:
        """Tell where the budgets of those who called stand."""
        budgets, self._budgets = self._budgets, {}
        by_place: dict[str, list[Account]] = {}
        for (place, _), account in budgets.items():
            by_place.setdefault(place, []).append(account)
        for place, accounts in by_place.items():
            standing = await self._counters.peek(place, expanded(accounts, place))
            balances = folded(accounts, standing.balances)
            for account, balance in zip(accounts, balances, strict=True):
                for level in levels_of(account, balance, standing.now_us):
                    # Beside the budget there may be others, each with a duration of its own.
                    if level.quota.meter is Meter.USD and level.quota.duration is None:
                        self._publish_budget(level, names, standing.now_us)

    def _publish_budget(
        self, level: Level, names: Mapping[tuple[str, str], str], now_us: int
    ) -> None:
        kind, identity = level.scope.kind, level.scope.id
        alias = names.get((kind, identity), identity)
        if not self._book.claim(LABELS_OF, f"{kind}:{identity}"):
            return
        labels = (identity, alias)[: len(_OWNERS[kind][1])]
        _REMAINING[kind].labels(*labels).set(dollars_of(max(0, level.remaining)))
        _MOST[kind].labels(*labels).set(dollars_of(level.quota.amount))
        if level.resets_us is not None:
            hours = max(0, level.resets_us - now_us) / _US_PER_HOUR
            _HOURS[kind].labels(*labels).set(hours)

    def _answered(self, payer: _Payer, asked: str, status: int) -> None:
        name = payer, asked, status
        self._answers[name] = self._answers.get(name, 0) + 1
        self._noted.set()

    def _who(self, payer: _Payer, names: Mapping[tuple[str, str], str]) -> tuple[str, ...]:
        """Return the labels that say whom a call belongs to."""
        if not self._book.claim(LABELS_OF, f"{ScopeKind.KEY}:{payer.key}"):
            return (OTHER,) * len(_WHO)
        alias = names.get((ScopeKind.KEY, payer.key), payer.key)
        team = names.get((ScopeKind.TEAM, payer.team), payer.team)
        return payer.key, alias, payer.team, team, payer.user


def _payer_of(scopes: Iterable[tuple[str, str]]) -> _Payer:
    found = dict(scopes)
    return _Payer(
        found.get(ScopeKind.KEY, ""), found.get(ScopeKind.TEAM, ""), found.get(ScopeKind.USER, "")
    )


def _scopes_of(payer: _Payer) -> Iterable[tuple[str, str]]:
    named = (ScopeKind.KEY, payer.key), (ScopeKind.TEAM, payer.team), (ScopeKind.USER, payer.user)
    return [(str(kind), identity) for kind, identity in named if identity]

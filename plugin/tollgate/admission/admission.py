"""Admit requests: may this one pass, where to, with which edits, holding what?

While the store is down, `on_store_error` decides: `refuse` answers 503; `allow` lets known callers
pass unmetered. Nothing is counted in process memory instead.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from msgspec import Struct, structs

from tollgate import telemetry
from tollgate.admission.asking.callers import Callers, Late, Refused
from tollgate.admission.asking.remembered_values import RememberedValues
from tollgate.admission.compressed import inflated
from tollgate.admission.early import Asker, EarlyRefusals
from tollgate.admission.estimating import Estimator
from tollgate.admission.hold_waits import HoldWaits
from tollgate.admission.holding import Holding
from tollgate.admission.model_choice import ModelChoice, UnpricedModels
from tollgate.admission.planning import Planner, Question
from tollgate.admission.refusal_notes import Noted, RefusalNotes
from tollgate.admission.service import Service
from tollgate.admission.strict import StrictFit
from tollgate.core.answers import refusals
from tollgate.core.answers.error_shapes import error_headers
from tollgate.core.answers.headers import (
    CHALLENGE,
    REQUEST_ID,
    StandingHeaders,
    enforcement_headers,
)
from tollgate.core.answers.wording import Preset
from tollgate.core.callers.dimensions import Values
from tollgate.core.callers.identity import NOBODY, Identities, IdentityRules, VerifiedIdentity
from tollgate.core.callers.rules import KnownAccounts, Policy
from tollgate.core.calls.decision import Decision, Header, Refusal
from tollgate.core.calls.passed_limits import levels_before
from tollgate.core.calls.reservation import Reservation
from tollgate.core.entities import Key
from tollgate.core.errors import BadRequest, StoreUnavailable
from tollgate.core.limits.accounts import Standing
from tollgate.core.models.output_limits import OutputLimits
from tollgate.core.money.pricing import Price
from tollgate.core.requests import content as reading
from tollgate.core.requests.catalog import Catalog
from tollgate.core.requests.dialects import Family, family_of_path
from tollgate.core.requests.dimensions.dimension_values import DimensionReader
from tollgate.core.requests.endpoints import Endpoint, find_dialect, find_endpoint
from tollgate.core.requests.estimate import InputEstimates
from tollgate.core.requests.upstream_path import check_query
from tollgate.ports import Clock, Counters, Directory, SoundLength
from tollgate.ports.value_ports import ValueBook

_STORE_RETRY_S = 1
_UNAUTHORIZED = 401
# From here on Envoy asks for the key before it takes the body (envoy_config/listener).
_LONG_BODY_BYTES = 128 * 1024


def _stays() -> bool:
    return False


class Request(Struct, frozen=True):
    """A request as Envoy's ext_authz reports it.

    Header names are lower-case, `path` includes the query, and `stream_id` is Envoy's name for the
    request. `left` tells whether the client has gone, so that nobody waits for an answer.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    stream_id: str = ""
    left: Callable[[], bool] = _stays


@dataclass(frozen=True, slots=True)
class Terms:
    """What the configuration says about admission.

    - `master_hash`: the master key's SHA-256; None means that no master key exists.
    - `max_request_bytes`: of a compressed body after inflation; Envoy bounds the others.
    - `output_limits`: the most output of each model.
    - `identity`: which verified values say who asks; None means that keys alone do.
    - `fallbacks`: the models that serve in place of one, where limits of all its deployments refuse
      a call; under `*` those of all other models.
    - `context_fallbacks`: the models that serve prompts that are too long for one.
    """

    master_hash: str | None
    policy: Policy
    default_output_tokens: int
    unpriced_models: UnpricedModels
    default_price: Price
    on_store_error: Literal["refuse", "allow"]
    errors: Preset
    unknown_paths: Literal["refuse", "allow"] = "refuse"
    ietf_headers: bool = False
    max_request_bytes: int = 32 * 1024 * 1024
    output_limits: OutputLimits = field(default_factory=OutputLimits)
    identity: IdentityRules | None = None
    fallbacks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    context_fallbacks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


class Admissions:
    """Decides about requests.

    `new_id` gives each reservation an id of our own, since a client's request id could repeat.
    `undo` frees what a reservation may hold when the outcome is unknown; it does not wait. `cools`
    tells whether the deployment with an id should get no calls now; None: none ever should.
    """

    def __init__(
        self,
        directory: Directory,
        counters: Counters,
        catalog: Catalog,
        terms: Terms,
        clock: Clock,
        new_id: Callable[[], str],
        estimates: InputEstimates,
        undo: Callable[[Reservation], None],
        hold_waits: HoldWaits,
        sound_length: SoundLength,
        refusal_notes: RefusalNotes,
        value_book: ValueBook,
        cools: Callable[[str], bool] | None = None,
    ) -> None:
        rules, dimensions = terms.identity, terms.policy.dimensions
        self._identities = None if rules is None else Identities(rules)
        self._callers = Callers(
            directory,
            clock,
            terms.master_hash,
            RememberedValues(value_book, directory, clock, (terms.policy.customers, *dimensions)),
            admit_unknown=rules is not None and rules.admit_unknown,
            customer_budget_id=terms.policy.customer_budget_id,
        )
        self._terms = terms
        self._clock = clock
        self._new_id = new_id
        known_accounts = KnownAccounts(terms.policy)
        self._dimensions = _dimension_reader(terms)
        self._choice = ModelChoice(
            catalog,
            terms.policy,
            terms.unpriced_models,
            terms.default_price,
            terms.fallbacks,
            terms.context_fallbacks,
            cools,
        )
        self._service = self._serving(
            Estimator(estimates, terms.output_limits, terms.default_output_tokens, sound_length),
            known_accounts,
            Holding(hold_waits, undo),
        )
        self._early = EarlyRefusals(
            self._callers,
            counters,
            catalog,
            known_accounts,
            clock,
            terms.errors,
            free_unpriced=terms.unpriced_models == "free",
            ietf=terms.ietf_headers,
            customer_headers=terms.policy.customers.headers,
        )
        self._refusal_notes = refusal_notes
        self._headers = StandingHeaders(ietf=terms.ietf_headers)
        self._levels: tuple[Standing | None, tuple[int, ...]] = (None, ())

    def _serving(
        self, estimator: Estimator, known_accounts: KnownAccounts, holding: Holding
    ) -> Service:
        return Service(
            self._choice,
            Planner(self._choice, estimator, known_accounts, self._clock),
            holding,
            StrictFit(estimator, holding, self._terms.default_output_tokens),
            self._callers,
            self._new_id,
        )

    async def admit(self, request: Request) -> Decision:
        """Decide about a request. Never raises, whatever the client or the store does."""
        path, _, query = request.path.partition("?")
        endpoint = find_endpoint(path)
        family = family_of_path(path) if endpoint is None else endpoint.dialect.family
        key: Key | None = None
        asker: Asker | None = None
        try:
            identity = self._identify(request)
            key = await self._callers.authenticate(request.headers, query, family, identity)
            asker = await self._ask(key, identity, request, path, endpoint, family)
            question, model = await self._read(asker, key, request, path, query, endpoint, family)
            decision = await self._decide(asker, question, model)
        except (Refused, BadRequest, StoreUnavailable) as error:
            decision = _refusal_of(error, family)
            if isinstance(error, Late):
                await error.wait()
            if asker is not None and len(request.body) >= _LONG_BODY_BYTES:
                await self._early.learn(asker)
        if not isinstance(decision, Refusal):
            return decision
        return self._told_apart(decision, key, asker, family)

    async def check_key(self, request: Request) -> Refusal | None:
        """Decide by the head alone, before the body arrives: by the key, the path, and limits that
        refuse every call.

        None: Envoy may take the body. Never raises, like admit().
        """
        path, _, query = request.path.partition("?")
        endpoint = find_endpoint(path)
        family = family_of_path(path) if endpoint is None else endpoint.dialect.family
        key: Key | None = None
        try:
            identity = self._identify(request)
            key = await self._callers.authenticate(request.headers, query, family, identity)
            await self._ask(key, identity, request, path, endpoint, family)
        except (Refused, BadRequest, StoreUnavailable) as error:
            return self._told_apart(_refusal_of(error, family), key, None, family)
        return None

    def _told_apart(
        self, refusal: Refusal, key: Key | None, asker: Asker | None, family: Family
    ) -> Refusal:
        """Return the refusal with an id, under which it is logged and recorded."""
        identity = self._new_id()
        caller = None if asker is None else asker.caller
        self._refusal_notes.note(Noted(identity, self._clock.now_us(), refusal, key, caller))
        telemetry.refused(refusal, identity, None if key is None else key.alias or key.name)
        told = (
            *refusal.headers,
            Header(REQUEST_ID, identity),
            *error_headers(family, refusal.status),
        )
        return structs.replace(
            refusal, headers=(*told, CHALLENGE) if refusal.status == _UNAUTHORIZED else told
        )

    def _identify(self, request: Request) -> VerifiedIdentity:
        """Return who asks, as far as Envoy vouches for it. Raises BadRequest."""
        return NOBODY if self._identities is None else self._identities.find(request.headers)

    async def _ask(
        self,
        key: Key | None,
        identity: VerifiedIdentity,
        request: Request,
        path: str,
        endpoint: Endpoint | None,
        family: Family,
    ) -> Asker:
        """Return who asks, by the head of the request."""
        if endpoint is None or request.method != "POST":
            allowed = self._terms.unknown_paths == "allow"
            refused = refusals.of_path(
                request.method, path, endpoint, family, unknown_allowed=allowed
            )
            if refused is not None:
                raise Refused(refused)
        dialect = find_dialect(path) if endpoint is None else endpoint.dialect
        return await self._early.find(key, request.headers, dialect, identity.customer_id)

    async def _read(
        self,
        asker: Asker,
        key: Key | None,
        request: Request,
        path: str,
        query: str,
        endpoint: Endpoint | None,
        family: Family,
    ) -> tuple[Question, str]:
        """Return a request as its body was read, and the model that it names.

        Raises BadRequest or Refused.
        """
        dialect = find_dialect(path) if endpoint is None else endpoint.dialect
        if coding := request.headers.get("content-encoding", ""):
            plain = await inflated(request.body, coding, self._terms.max_request_bytes, family)
            request = structs.replace(request, body=plain)
        if query and endpoint is not None:
            check_query(endpoint, query)
        facts = reading.read(request.body, request.headers.get("content-type", ""), query, dialect)
        caller = asker.caller
        customer_id = caller.customer_id or facts.customer
        values: Values = ()
        if self._dimensions is not None:
            values = self._dimensions.find(
                request.headers, request.body, facts.spans, form=facts.form
            )
        if values or customer_id != caller.customer_id:
            caller = await self._callers.find(key, customer_id, family, values)
        model = self._choice.find_model(caller, endpoint, facts, dialect, family)
        question = Question(
            caller,
            endpoint,
            dialect,
            family,
            facts,
            request.body,
            request.path,
            query,
            coding,
            request.stream_id,
            request.headers,
            request.left,
        )
        return question, model

    async def _decide(self, asker: Asker, question: Question, model: str) -> Decision:
        """Hold what the request may use, of the model that it names or of one that limits name
        instead.
        """
        plan = await self._service.plan(question, model)
        try:
            plan, held = await self._service.hold(question, plan)
        except StoreUnavailable as error:
            if self._terms.on_store_error == "refuse":
                raise
            telemetry.store_failed("admit", error)
            telemetry.unmetered()
            return plan.unmetered
        reservation, standing, family = held.reservation, held.standing, question.family
        headers = self._headers.find(reservation.accounts, standing, family, reservation.model)
        if standing.refused is not None:
            self._early.note(asker, reservation, standing)
            return refusals.over_limit(
                self._terms.errors, family, question.caller, reservation, standing, headers
            )
        if reservation.instead_of or reservation.shadow:
            headers = (*headers, *enforcement_headers(reservation))
            _count_spared(reservation)
        telemetry.admitted()
        if self._levels[0] is not standing:
            self._levels = standing, levels_before(standing)
        return structs.replace(
            plan.unmetered, reservation=reservation, headers=headers, levels=self._levels[1]
        )


def _dimension_reader(terms: Terms) -> DimensionReader | None:
    """Return what reads values of dimensions from requests; None: there are no dimensions."""
    if not terms.policy.dimensions:
        return None
    trusted = () if terms.identity is None else terms.identity.trusted_proxies
    return DimensionReader(terms.policy.dimensions, trusted)


def _count_spared(reservation: Reservation) -> None:
    if reservation.shadow:
        telemetry.shadowed(reservation.shadow)
    if reservation.instead_of:
        telemetry.served_instead(reservation.instead_of, reservation.model)


def _refusal_of(error: Refused | BadRequest | StoreUnavailable, family: Family) -> Refusal:
    if isinstance(error, Refused):
        return error.refusal
    if isinstance(error, BadRequest):
        return refusals.refusal(family, 400, "invalid_request_error", str(error), param=error.param)
    telemetry.store_failed("admit", error)
    return refusals.unavailable(family, _STORE_RETRY_S)

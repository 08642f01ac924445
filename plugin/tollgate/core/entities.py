"""The nouns: scopes and limits, what a request holds, what it used, what was decided. Frozen values, no behaviour beyond views of themselves.

Units: money is integer nano-dollars (`_nanousd`), time integer microseconds since the epoch (`_us`), tokens are whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from msgspec import Struct

from tollgate.core.bill import NO_BILL, Bill

# Lua counts in doubles: integers above this are not exact, so no limit, price or sum may reach it.
MAX_EXACT = 2**53 - 1
DEFAULT_ORGANIZATION = "default"


class ScopeKind(StrEnum):
    """Who a limit belongs to, in the order in which a refusal names them (design: rules of admission, 2)."""

    PROXY = "proxy"
    ORGANIZATION = "organization"
    TEAM = "team"
    MEMBER = "member"
    USER = "user"
    CUSTOMER = "customer"
    KEY = "key"


class LimitKind(StrEnum):
    """What is limited. The values travel in every reservation, so they are one letter."""

    REQUESTS = "r"
    TOKENS = "t"
    PARALLEL = "p"
    BUDGET = "b"


class Scope(Struct, frozen=True, array_like=True):
    """One entity, or one entity narrowed to one model. A member's id is `team/user`."""

    kind: ScopeKind
    id: str
    model: str | None = None


class Period(Struct, frozen=True, array_like=True):
    """The budget period around an instant: `[start_us, end_us)`, and where the one before it began. `end_us` 0: it never ends."""

    previous_us: int = 0
    start_us: int = 0
    end_us: int = 0


FOREVER = Period()


class Charge(Struct, frozen=True, array_like=True):
    """An amount against one limit.

    `limit`: requests or tokens a minute, calls at once, or nano-dollars a period; None counts without ever refusing (budgets only).
    `amount`: what admission wants to set aside, in the same unit.
    """

    kind: LimitKind
    scope: Scope
    limit: int | None
    amount: int
    period: Period = FOREVER


class Reservation(Struct, frozen=True, array_like=True):
    """One request's holds, and all that settlement needs. It travels with the request as dynamic metadata, so any worker can settle it.

    `stream_id` is Envoy's name for the request: should the client leave before Envoy has our answer, the access log knows only that.
    """

    id: str
    organization: str
    charges: tuple[Charge, ...]
    admitted_us: int
    dialect: str
    model: str
    deployment: str
    input_tokens: int
    output_tokens: int
    stream: bool = False
    hide_usage: bool = False
    stream_id: str = ""


class Balance(Struct, frozen=True, array_like=True):
    """Where one limit stands, in the store's own units.

    Requests and tokens: `used` in bucket units (see core.bucket). Parallel: `used` is the calls in flight.
    Budgets: `used` is what is settled in the period that began at `period_start_us`, `held` what calls in flight have set aside.
    """

    used: int
    held: int = 0
    period_start_us: int = 0


@dataclass(frozen=True, slots=True)
class Standing:
    """The store's answer: its clock, a balance for each charge in the order asked, and which charge refused (None: none did)."""

    now_us: int
    balances: tuple[Balance, ...]
    refused: int | None = None


@dataclass(frozen=True, slots=True)
class Spend:
    """What one scope has spent: in its current budget period (`used_nanousd`, and `held_nanousd` by calls in flight), ever, and by model."""

    used_nanousd: int
    held_nanousd: int
    total_nanousd: int
    by_model_nanousd: Mapping[str, int]


class Certainty(StrEnum):
    """How sure we are of a usage; `expired` is a lease that ran out, charged as held."""

    EXACT = "exact"
    PARTIAL = "partial"
    ESTIMATED = "estimated"
    EXPIRED = "expired"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call by kind. `input_tokens` includes cache reads and writes, `output_tokens` includes reasoning and audio."""

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
    model: str | None = None
    service_tier: str | None = None
    certainty: Certainty = Certainty.EXACT

    @property
    def total_tokens(self) -> int:
        """What token limits count: input and output together."""
        return self.input_tokens + self.output_tokens


NO_USAGE = Usage(certainty=Certainty.NONE)


@dataclass(frozen=True, slots=True)
class Settlement:
    """What a reservation turned out to cost."""

    usage: Usage
    cost_nanousd: int
    status: int
    settled_by: str
    bill: Bill = NO_BILL


@dataclass(frozen=True, slots=True)
class Deployment:
    """One entry of `model_list`: a public model name served by one provider's endpoint.

    `weight`: its share of the calls among the deployments of its name. `api_version` is Azure's; `region` is AWS's;
    `vertex_project` and `vertex_location` are Vertex's, and replace a client's own.
    """

    id: str
    model_name: str
    provider: str
    model: str
    api_base: str
    max_output_tokens: int | None = None
    access_groups: tuple[str, ...] = ()
    weight: int = 1
    api_version: str | None = None
    region: str | None = None
    vertex_project: str | None = None
    vertex_location: str | None = None


@dataclass(frozen=True, slots=True)
class Edit:
    """A splice of a request body: at `offset`, delete `delete` bytes and put `insert` there. Offsets are into the body as it came."""

    offset: int
    delete: int
    insert: str


@dataclass(frozen=True, slots=True)
class Header:
    """One response header."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request may not pass, as the client will read it."""

    status: int
    reason: str
    message: str
    body: bytes
    headers: tuple[Header, ...] = ()


@dataclass(frozen=True, slots=True)
class Admission:
    """A request that may pass: where it goes, what changes in it, what is held for it (None: it passes unmetered), and the headers of its reply.

    `path`: the path and query to ask the provider for, where they are not the client's.
    """

    deployment: str
    reservation: Reservation | None
    edits: tuple[Edit, ...] = ()
    headers: tuple[Header, ...] = ()
    path: str | None = None


Decision = Admission | Refusal

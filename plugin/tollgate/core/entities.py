"""The nouns: scopes and limits, what a request holds, what it used, what was decided. Frozen values, no behaviour beyond views of themselves.

Units: money is integer nano-dollars (`_nanousd`), time integer microseconds since the epoch (`_us`), tokens are whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from msgspec import Struct

from tollgate.core.bill import NO_BILL, Bill
from tollgate.core.stream_usage import ASKED, StreamUsage

# Lua counts in doubles: integers above this are not exact, so no limit and no single amount may exceed it. Sums are kept in two parts.
MAX_EXACT = 2**53 - 1
DEFAULT_ORGANIZATION = "default"


class ScopeKind(StrEnum):
    """Who a limit belongs to, in the order in which a refusal names them."""

    PROXY = "proxy"
    ORGANIZATION = "organization"
    TEAM = "team"
    MEMBER = "member"
    USER = "user"
    CUSTOMER = "customer"
    KEY = "key"


class LimitKind(StrEnum):
    """What is limited, in the order in which an account's limits are checked. reserve.lua knows them by these letters."""

    REQUESTS = "r"
    TOKENS = "t"
    PARALLEL = "p"
    BUDGET = "b"


class Scope(Struct, frozen=True, array_like=True, gc=False):
    """One entity, or one entity narrowed to one model. A member's id is `team/user`."""

    kind: ScopeKind
    id: str
    model: str | None = None


class Period(Struct, frozen=True, array_like=True, gc=False):
    """The budget period around an instant: `[start_us, end_us)`, and where the one before it began. `end_us` 0: it never ends."""

    previous_us: int = 0
    start_us: int = 0
    end_us: int = 0


FOREVER = Period()


class Account(Struct, frozen=True, array_like=True):
    """A scope that requests are charged to, and its limits there: requests and tokens a minute, calls at once, nano-dollars a period.
    None is no limit: then it is only counted what is spent.

    `passing`: of somebody whom nobody registered and nothing limits. The store forgets it when it has
    been idle for as long as the ledger keeps records.
    """

    scope: Scope
    rpm: int | None = None
    tpm: int | None = None
    parallel: int | None = None
    budget_nanousd: int | None = None
    period: Period = FOREVER
    passing: bool = False

    @property
    def limited(self) -> bool:
        """Whether it can refuse."""
        return not (self.rpm is None and self.tpm is None and self.parallel is None and self.budget_nanousd is None)


Accounts = tuple[Account, ...]
"""All that a request is charged to. Those that can refuse come first, in the order in which a refusal names them."""


class Reservation(Struct, frozen=True, array_like=True):
    """One request's holds, and all that settlement needs. It travels with the request as dynamic metadata, so any worker can settle it.

    Tokens and `cost_nanousd` are the estimate; `guessed`: the request names no output limit, so its output is a configured default.
    `tools`: it defines some. `characters` of text to speak, `audio_seconds` of uploaded sound: where the model is priced by them.
    `stream_id` is Envoy's name for the request: should the client leave before Envoy has our answer, the access log knows only that.
    """

    id: str
    organization: str
    accounts: Accounts
    admitted_us: int
    dialect: str
    model: str
    deployment: str
    input_tokens: int
    output_tokens: int
    cost_nanousd: int = 0
    guessed: bool = False
    stream: bool = False
    hide_usage: bool = False
    stream_id: str = ""
    tools: bool = False
    characters: int = 0
    audio_seconds: int = 0

    def tokens_within(self, tpm: int) -> int:
        """What to hold of a token limit. A lone request meets an untouched bucket and passes, however small the bucket is; and
        a guess takes a quarter of it at most, or else a small limit would serve one call at a time."""
        output = min(self.output_tokens, tpm // 4) if self.guessed else self.output_tokens
        return max(1, min(self.input_tokens + output, tpm))


class Balance(Struct, frozen=True, array_like=True, gc=False):
    """Where an account stands. What it does not limit is 0.

    `requests` and `tokens` are used bucket units (see core.bucket), `parallel` the calls in flight; `used_nanousd` is settled in the
    period that began at `period_start_us`, `held_nanousd` set aside by calls in flight.
    """

    requests: int = 0
    tokens: int = 0
    parallel: int = 0
    used_nanousd: int = 0
    held_nanousd: int = 0
    period_start_us: int = 0


class Standing(Struct, frozen=True, gc=False):
    """The store's answer: its clock, a balance for each account that it was asked about, in their order, after all calls that it took
    together; and the number of the account that refused, and which of its limits (None: none did).

    `only_held`: what is settled would fit, so the end of a call in flight may make room.
    """

    now_us: int
    balances: tuple[Balance, ...]
    refused: int | None = None
    by: LimitKind | None = None
    only_held: bool = False


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


class Counts(Struct, frozen=True, gc=False):
    """What a call used, by kind. Every kind of count stands here and nowhere else.

    Within `input_tokens`: `cache_*`, `input_audio_tokens`, `input_image_tokens`, `input_video_tokens`.
    Within `cache_read_tokens`, and within the part that it names: `cache_read_audio_tokens`,
    `cache_read_image_tokens`.
    Within `output_tokens`: `reasoning_tokens`, `output_audio_tokens`, `output_image_tokens`,
    `output_video_tokens`.
    Beside tokens, charged as fees where they have a price:

    - `citation_tokens`: text of sources that Perplexity read for the model, in neither sum.
    - `searches`: queries or calls of web search that the provider charges for; a grounded prompt
      of Gemini that tells no query is one.
    - `map_searches`: prompts that were grounded in Google Maps.
    - `sources`: pages that xAI's live search used.
    - `file_searches`: calls of OpenAI's file search.
    - `code_containers`: containers in which OpenAI's code interpreter ran.
    - `image_calls`: pictures that a hosted tool drew; their tokens, where told, are a `Pass`.
    - `audio_seconds`: seconds of sound that were heard, rounded up.
    - `pages`: pages of documents that were read.
    - `characters`: of text that was spoken, as the request tells them.
    """

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
    input_video_tokens: int = 0
    output_video_tokens: int = 0
    cache_read_audio_tokens: int = 0
    cache_read_image_tokens: int = 0
    citation_tokens: int = 0
    map_searches: int = 0
    sources: int = 0
    file_searches: int = 0
    code_containers: int = 0
    image_calls: int = 0
    pages: int = 0
    characters: int = 0

    @property
    def total_tokens(self) -> int:
        """What token limits count: input and output together."""
        return self.input_tokens + self.output_tokens


class Pass(Counts, frozen=True, gc=False, omit_defaults=True):
    """One run of a model within a call that took several, billed by itself.

    `model`: which one; None is the call's own. `kind`: what the provider calls the pass
    (`compaction`, `message`, `advisor_message`, `image_generation`, ...).
    """

    model: str | None = None
    kind: str = ""


class Usage(Counts, frozen=True, gc=False):
    """Counts of one call, and what else the reply told that decides its price.

    `passes`: runs of models that are billed one by one; the counts above include theirs, so what is
    left after taking the passes away is billed as the call's own.
    `model`, `service_tier`: as the reply names them (a speed out of the ordinary, such as Anthropic's
    `fast`, stands in `service_tier`). `geography`: where it ran, if told (Anthropic's `us`).
    `provisioned`: served by throughput that is paid by the month, so tokens cost nothing.
    `told_nanousd`: what the provider says that the call cost; None: it said nothing that can be read.
    `search_context`: how much a search may read (`low`, `medium`, `high`), if told.
    """

    model: str | None = None
    service_tier: str | None = None
    certainty: Certainty = Certainty.EXACT
    passes: tuple[Pass, ...] = ()
    geography: str | None = None
    provisioned: bool = False
    told_nanousd: int | None = None
    search_context: str | None = None


NO_USAGE = Usage(certainty=Certainty.NONE)


class Settlement(Struct, frozen=True):
    """What a reservation turned out to cost. `told`: it is the provider's own figure, and the bill stands beside it.

    `other_model`: the reply names another model than the one that was admitted.
    """

    usage: Usage
    cost_nanousd: int
    status: int
    settled_by: str
    bill: Bill = NO_BILL
    told: bool = False
    other_model: bool = False

    @property
    def certainty(self) -> Certainty:
        """How sure the cost is: a part that has no price makes exact counts a partial charge."""
        certainty = self.usage.certainty
        if certainty is Certainty.EXACT and self.bill.unpriced and not self.told:
            return Certainty.PARTIAL
        return certainty


@dataclass(frozen=True, slots=True)
class Deployment:
    """One entry of `model_list`: a public model name served by one provider's endpoint.

    `weight`: its share of the calls among the deployments of its name. `api_version` is Azure's; `region` is AWS's;
    `vertex_project` and `vertex_location` are Vertex's, and replace a client's own. `pass_credentials`: its clients' own credentials
    go on to the provider, and none of the gateway's. `stream_usage`: how its streams are brought to tell their usage.
    `base_model`: which model it is, where its own name does not say. `trust_provider_cost`: what a reply says that it cost is what is charged.
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
    mode: str | None = None
    pass_credentials: bool = False
    stream_usage: StreamUsage = ASKED
    trust_provider_cost: bool = False
    base_model: str | None = None

    @property
    def known_as(self) -> str:
        """The name under which tables of models know it."""
        return self.base_model or self.model


class Edit(Struct, frozen=True):
    """A splice of a request body: at `offset`, delete `delete` bytes and put `insert` there. Offsets are into the body as it came."""

    offset: int
    delete: int
    insert: str


class Header(Struct, frozen=True):
    """One response header."""

    name: str
    value: str


class Refusal(Struct, frozen=True):
    """Why a request may not pass, as the client will read it."""

    status: int
    reason: str
    message: str
    body: bytes
    headers: tuple[Header, ...] = ()


class Admission(Struct, frozen=True):
    """A request that may pass: where it goes, what changes in it, what is held for it (None: it passes unmetered), and the headers of its reply.

    `path`: the path and query to ask the provider for, where they are not the client's. `coding`: the content coding that the body came
    in, if any; it goes on as `plain`, which `edits` are of.
    """

    deployment: str
    reservation: Reservation | None
    edits: tuple[Edit, ...] = ()
    headers: tuple[Header, ...] = ()
    path: str | None = None
    coding: str = ""
    plain: bytes = b""


Decision = Admission | Refusal

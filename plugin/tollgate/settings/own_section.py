"""Define `tollgate:`, our own section of the configuration file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from tollgate.core.answers.wording import Preset
from tollgate.core.callers.credentials import PAYER_HEADERS
from tollgate.core.callers.limit_entries import MOST_WAIT_MS, find_contradiction
from tollgate.core.errors import BadRequest
from tollgate.core.limits.accounts import ScopeKind
from tollgate.core.limits.bucket import MAX_LIMIT
from tollgate.core.limits.duration import parse_duration
from tollgate.core.limits.limit import KINDS, Limit
from tollgate.core.models.output_limits import DEFAULT_CEILING
from tollgate.logs import LogFormat, LogLevel
from tollgate.settings.entries.alert_settings import AlertSettings
from tollgate.settings.entries.default_limits import default_limits_of
from tollgate.settings.entries.dimension_settings import DimensionSettings, dimensions_of
from tollgate.settings.entries.event_entry import EventSinkEntry, find_twice
from tollgate.settings.entries.identity_settings import IdentitySettings
from tollgate.settings.entries.limit_entry import LimitSetting
from tollgate.settings.grpc_settings import GrpcSettings


def _payer_header(name: str) -> str:
    if name.lower() not in PAYER_HEADERS:
        raise ValueError(
            f"must be one of {', '.join(PAYER_HEADERS)}; others go on anyway, or never"
        )
    return name.lower()


PayerHeader = Annotated[str, AfterValidator(_payer_header)]


def _installed(wanted: bool) -> bool:
    if wanted and find_spec("toktok") is None:
        raise ValueError("needs the extra `tokenizer`: pip install '.[tokenizer]' in the checkout")
    return wanted


def _retention(text: str) -> str:
    try:
        long_enough = parse_duration(text).length_us >= _LEAST_RETENTION_US
    except BadRequest as error:
        raise ValueError(str(error)) from error
    if not long_enough:
        raise ValueError("must be at least a day, as 400d or 13mo")
    return text


# A call may be settled a day after its admission, and must still be found then.
_LEAST_RETENTION_US = 86_400_000_000


def _has_opentelemetry(wanted: bool) -> bool:
    if wanted and not (find_spec("opentelemetry") and find_spec("opentelemetry.exporter")):
        raise ValueError("needs the extra `otel`: pip install 'envoy-tollgate[otel]'")
    return wanted


def _check_labels(labels: Mapping[str, int], dimensions: Iterable[str]) -> None:
    known = sorted({*ScopeKind, *dimensions} - {ScopeKind.PROXY})
    for name in labels:
        if name not in known:
            raise ValueError(f"metrics.labels: {name!r} is none of {', '.join(known)}")


EnvoyVersion = Literal["1.37", "1.38", "1.39", "1.40"]
"""The four latest minor versions of Envoy."""


class TollgateSettings(GrpcSettings):
    """The section `tollgate:`. Every field has a safe default."""

    mode: Literal["grpc", "native"] = Field("grpc", description="how Envoy talks to Tollgate")
    envoy_version: EnvoyVersion = Field(
        "1.40", description="the oldest Envoy that is to take the configuration"
    )
    workers: int | None = Field(
        None,
        ge=1,
        le=256,
        description="worker processes; default one for two cores, with a stand-in if that is one",
    )
    state_dir: Path = Field(
        Path(".tollgate"), description="folder of the embedded Valkey's append-only file"
    )
    redis_url: str | None = Field(
        None, description="Valkey or Redis to use instead of the embedded one"
    )
    on_store_error: Literal["refuse", "allow"] = Field(
        "refuse", description="what happens to requests while the store is down"
    )
    errors: Preset = Field(
        Preset.PAGE,
        description="wording of refusals: LiteLLM's documentation, OpenAI, or LiteLLM 1.109",
    )
    hold_wait_ms: int = Field(
        150,
        ge=0,
        le=5000,
        description=(
            "longest wait of a request that only holds of calls in flight refuse; 0: no wait"
        ),
    )
    longest_wait_ms: int = Field(
        5000,
        ge=0,
        le=MOST_WAIT_MS,
        description=(
            "the most that `max_wait_ms` of a limit may be; Envoy waits so much longer for a"
            " decision"
        ),
    )
    most_waiting: int = Field(
        128,
        ge=1,
        le=10_000,
        description="most requests that wait for one scope, in each worker; more are refused",
    )
    shadow: bool = Field(
        default=False,
        description=(
            "for copies of another gateway's traffic: `tollgate up` enforces no limit and calls no"
            " provider"
        ),
    )
    enforce: bool = Field(
        default=True,
        description="whether limits refuse; `false`: all are decided, counted and reported only",
    )
    log_format: LogFormat = Field(
        "console", description="log lines for people, or one JSON object a line"
    )
    log_level: LogLevel = Field(
        "info", description="least level that is logged; `debug` has a line for each settlement"
    )
    store_timeout_ms: int = Field(
        250, ge=10, le=10_000, description="a store command that takes longer fails"
    )
    unpriced_models: Literal["refuse", "free", "default_price"] = Field(
        "refuse",
        description=(
            "models without a price: refused where a budget applies, free, or at the default price"
        ),
    )
    default_input_cost_per_token: Decimal = Field(
        Decimal("0.00001"), ge=0, description="dollars, for `default_price`"
    )
    default_output_cost_per_token: Decimal = Field(
        Decimal("0.00003"), ge=0, description="dollars, for `default_price`"
    )
    price_file: Path | None = Field(
        None,
        description=(
            "prices in the form of LiteLLM's model_prices_and_context_window.json, over the"
            " built-in table"
        ),
    )
    default_output_tokens: int = Field(
        1024, ge=1, description="output held for a request that names no limit of its own"
    )
    max_output_ceiling: int = Field(
        DEFAULT_CEILING,
        ge=1,
        description="the most output tokens of a model whose own maximum is unknown",
    )
    proxy_rpm_limit: int | None = Field(
        None, ge=0, le=MAX_LIMIT, description="requests a minute of all calls together"
    )
    proxy_tpm_limit: int | None = Field(
        None, ge=0, le=MAX_LIMIT, description="tokens a minute of all calls together"
    )
    proxy_max_parallel_requests: int | None = Field(
        None, ge=0, le=MAX_LIMIT, description="all calls at once"
    )
    limits: tuple[LimitSetting, ...] = Field(
        (), description="further limits of all calls together (docs/limits.md)"
    )
    default_limits: dict[str, tuple[LimitSetting, ...]] = Field(
        default_factory=dict,
        description=(
            "limits of each user, team, member, key, customer, organization or"
            " organization_member that has none of that meter and window (docs/scopes.md)"
        ),
    )
    dimensions: DimensionSettings = Field(
        default_factory=dict,
        description=(
            "scopes whose ids requests tell: `tag: true`, `session: true`, or names of your own"
            " with their sources (docs/scopes.md)"
        ),
    )
    identity: IdentitySettings | None = Field(
        None,
        description=(
            "who asks by what Envoy vouches for: claims of tokens, certificates, headers of trusted"
            " proxies (docs/identity.md)"
        ),
    )
    ietf_headers: bool = Field(
        default=False, description="also report every limit in `RateLimit` headers (an IETF draft)"
    )
    unknown_paths: Literal["refuse", "allow"] = Field(
        "refuse",
        description="unknown paths: answer 404, or pass them on and charge the usage they report",
    )
    pass_client_headers: tuple[PayerHeader, ...] = Field(
        (),
        description=(
            "headers of clients that choose whose account pays, and that reach the provider"
            " nevertheless"
        ),
    )
    max_request_bytes: int = Field(
        32 * 1024 * 1024, ge=1024, description="a longer body is answered with 413"
    )
    lease_seconds: int = Field(
        60,
        ge=5,
        le=3600,
        description="a call without a sign of life for this long is settled as held",
    )
    client_left: Literal["mean", "held", "seen"] = Field(
        "mean",
        description=(
            "what a call that is broken off is charged for output that nobody saw: the mean that"
            " its model had lately (at most what was held), what was held, or nothing"
        ),
    )
    tokenizer: Annotated[bool, AfterValidator(_installed)] = Field(
        default=False,
        description=(
            "count what broken streams of OpenAI's models showed by their own vocabularies: 64 MB a"
            " worker"
        ),
    )
    upstream_timeout_seconds: int = Field(
        600, ge=1, description="a provider that sends nothing for this long has failed"
    )
    alerts: AlertSettings | None = Field(
        None, description="who is told when a limit comes to a threshold (docs/alerts.md)"
    )
    ledger_days: int = Field(30, ge=1, description="how long settled records are kept")
    history_url: str | None = Field(
        None,
        description=(
            "database that keeps what was settled for longer: `sqlite:///PATH`,"
            " `postgresql://...` or `none`; default a file in state_dir, where the embedded"
            " Valkey is the store"
        ),
    )
    history_retention: Annotated[str, AfterValidator(_retention)] | None = Field(
        None,
        description="how long the history keeps single records; default for ever, and sums always",
        examples=["400d"],
    )
    history_outbox: int = Field(
        1_000_000,
        ge=1,
        description=(
            "entries of the ledger that the store keeps for each organization while the history is"
            " away; older ones go to a file"
        ),
    )

    opentelemetry: Annotated[bool, AfterValidator(_has_opentelemetry)] = Field(
        default=False,
        description=(
            "whether the recorder sends usage and dollars by OpenTelemetry's conventions for"
            " generative AI, to OTEL_EXPORTER_OTLP_ENDPOINT"
        ),
    )

    opentelemetry_traces: Annotated[bool, AfterValidator(_has_opentelemetry)] = Field(
        default=False,
        description=(
            "whether workers send a span of each decision and call, in the caller's trace, to"
            " OTEL_EXPORTER_OTLP_ENDPOINT"
        ),
    )

    events: tuple[EventSinkEntry, ...] = Field(
        (), description="where events of settled calls go, from the recorder (docs/history.md)"
    )

    @property
    def history_database(self) -> str | None:
        """Return the URL of the history's database; None: no history is kept.

        A store of the user's own may serve several gateways, whose histories must be one, so only
        the embedded one has a history by default.
        """
        if self.history_url == "none":
            return None
        if self.history_url is not None or self.redis_url is not None:
            return self.history_url
        return f"sqlite:///{(self.state_dir / 'history.db').absolute()}"

    @property
    def history_kept_us(self) -> int | None:
        """Return how long the history keeps single records; None: for ever."""
        if self.history_retention is None:
            return None
        return parse_duration(self.history_retention).length_us

    @model_validator(mode="after")
    def _check_sender(self) -> Self:
        if self.opentelemetry and self.history_database is None:
            raise ValueError(
                "opentelemetry: the recorder sends it, and there is none without history_url"
            )
        return self

    @model_validator(mode="after")
    def _check_limits(self) -> Self:
        verified = {source for each in dimensions_of(self.dimensions) for source in each.verified}
        identity = self.identity or IdentitySettings()
        if (lacking := identity.find_unverifiable(verified)) is not None:
            raise ValueError(lacking)
        default_limits_of(self.default_limits)
        if (contradiction := find_contradiction(self.limits_of_all())) is not None:
            raise ValueError(contradiction)
        _check_labels(self.metrics.labels, self.dimensions)
        if self.events and self.history_database is None:
            raise ValueError("events need a history, whose recorder delivers them")
        if (twice := find_twice(self.events)) is not None:
            raise ValueError(f"events: {twice} is there twice")
        return self

    def limits_of_all(self) -> list[tuple[Limit, str]]:
        """Return the limits of all calls together, each with the field that says it."""
        said = [
            (Limit(kind.meter, amount, kind.window), f"proxy_{field}")
            for field, kind in KINDS.items()
            if (amount := getattr(self, f"proxy_{field}", None)) is not None
        ]
        return [*said, *((each.limit, "limits") for each in self.limits)]

"""An entry of `tollgate.limits`: a limit of all calls together."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, PrivateAttr, model_validator

from tollgate.core.callers.limit_entries import limit_of_entry
from tollgate.core.errors import BadRequest
from tollgate.core.limits.accounts import Meter
from tollgate.core.limits.limit import Limit


class _LimitSetting(BaseModel):
    """A limit in its general form; docs/limits.md describes it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    meter: Meter
    amount: float
    per: str | None = None
    calendar: str | None = None
    mode: Literal["enforce", "shadow"] | None = None
    strict: bool | None = None
    rollover: dict[str, float] | None = None
    on_exceeded: Literal["refuse"] | dict[str, str] | None = None
    max_wait_ms: int | None = None
    alert_at: tuple[float, ...] | None = None

    _limit: Limit = PrivateAttr()

    @model_validator(mode="after")
    def _countable(self) -> Self:
        try:
            self._limit = limit_of_entry(self)  # type: ignore[arg-type] # classes below add `model`
        except BadRequest as error:
            raise ValueError(str(error)) from error
        return self

    @property
    def limit(self) -> Limit:
        """The limit that it describes."""
        return self._limit


class LimitSetting(_LimitSetting):
    """A limit for all models."""

    @property
    def model(self) -> None:
        """None: the limit is for all models."""
        return


class NarrowedLimitSetting(_LimitSetting):
    """A limit for all models, or for those of a name or wildcard."""

    model: str | None = None

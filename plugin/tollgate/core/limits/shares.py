"""Shares of a rate: how one limit is divided among those who call, as it is configured and as it is
in force for one caller.

A part of the limit, up to its threshold, is common: whoever comes takes from it. The rest is
reserved. Each share has a reserve of its own, a bucket that refills at the share of the limit's
rate. A call takes room from the common part while there is some, else from its own reserve, and is
counted in both. What is used of the limit is therefore never more than the common part and what is
used of all reserves, so a reserve with room is never refused because of another.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct

from tollgate.core.errors import BadRequest

EVERYBODY_ELSE = "*"
"""The share of all callers together whom no other share names."""

DEFAULT_THRESHOLD = 500
"""In thousandths, as LiteLLM's `saturation_threshold`
(https://docs.litellm.ai/docs/proxy/dynamic_rate_limit).
"""

_WHOLE = 1000
MOST_SHARES = 12
"""Of one limit: each has a counter of its own in the scope's state, which holds 255."""


class Share(Struct, frozen=True, array_like=True, gc=False):
    """One caller's share of a limit in force.

    `amount` of the limit's window is the share, 0 where the caller has none. `reserve` can be taken
    of it at once, and `common` by all callers together; both are units of a bucket (bucket.py).
    """

    name: str
    amount: int
    reserve: int
    common: int

    @property
    def words(self) -> str:
        """What it is, as a message says it."""
        if not self.name:
            return "without a share"
        return "share of all others" if self.name == EVERYBODY_ELSE else f"share of {self.name}"


class Shares(Struct, frozen=True, gc=False):
    """How a limit is divided: names with thousandths of the amount, and the threshold in
    thousandths, up to which the limit is common.
    """

    named: tuple[tuple[str, int], ...]
    threshold: int = DEFAULT_THRESHOLD

    @classmethod
    def read(cls, named: Mapping[str, float], threshold: float | None) -> Shares:
        """Return shares as a configuration writes them: parts of 1.

        Raises BadRequest that says what would be right.
        """
        found = tuple((name, round(part * _WHOLE)) for name, part in named.items())
        if not all(name and 1 <= part <= _WHOLE for name, part in found):
            raise BadRequest("shares must be parts of the amount, from 0.001 to 1: {NAME: 0.5}")
        if sum(part for _, part in found) > _WHOLE:
            raise BadRequest("shares must add up to 1 at most")
        if len(found) > MOST_SHARES:
            raise BadRequest(f"at most {MOST_SHARES} shares of one limit")
        if threshold is None:
            return cls(found)
        if not 0 <= threshold < 1:
            raise BadRequest(
                "saturation_threshold must be from 0 to 0.999: what is above it is reserved"
            )
        return cls(found, min(_WHOLE - 1, round(threshold * _WHOLE)))

    def of(self, names: Iterable[str], amount: int, units: int) -> Share:
        """Return the share of a caller with these names, the first of which that has one counts.

        `units`: how many an amount of one has. Shares are rounded down to whole amounts.
        """
        shares = dict(self.named)
        name = next((each for each in (*names, EVERYBODY_ELSE) if each in shares), "")
        own = amount * shares.get(name, 0) // _WHOLE
        reserve = own * units * (_WHOLE - self.threshold) // _WHOLE
        return Share(name, own, reserve, amount * units * self.threshold // _WHOLE)

    def find_too_small(self, amount: int) -> str | None:
        """Return a share whose reserve has no room for a single request or token."""
        for name, _ in self.named:
            if self.of((name,), amount, 1).reserve < 1:
                return name
        return None

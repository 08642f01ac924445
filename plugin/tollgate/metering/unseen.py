"""Charge for output that nobody saw.

Either the client left, or the reply passed while Tollgate was silent.
"""

from __future__ import annotations

from typing import Literal

from msgspec.structs import replace

from tollgate.core.calls.reservation import Reservation
from tollgate.core.calls.usage import Certainty, Usage
from tollgate.core.requests.estimate import Lacks, Lately, OutputMeans, unseen_output
from tollgate.ports import OutputBook

ClientLeft = Literal["mean", "held", "seen"]


class OwnOutputs:
    """The port `OutputBook` in one process's memory."""

    def __init__(self) -> None:
        self.means = OutputMeans()

    def learn(self, deployment: str, output_tokens: int, hidden_tokens: int) -> None:
        self.means.learn(deployment, output_tokens, hidden_tokens)

    def own(self, deployment: str) -> Lately | None:
        """Return what this process has learned."""
        return self.means.lately(deployment)

    async def lately(self, deployment: str) -> Lately | None:
        return self.own(deployment)


class UnseenOutput:
    """Completes a usage with its unseen output.

    `default_output_tokens`: assumed before anything was learned. `client_left`: how to charge a
    call that broke off.
    """

    def __init__(
        self,
        book: OutputBook,
        default_output_tokens: int = 1024,
        client_left: ClientLeft = "mean",
    ) -> None:
        self._book = book
        self.learn = book.learn
        """Learn from a reply that reported its output, and how much of it was not shown: of the
        deployment with this id, in tokens.
        """
        self._default_tokens = default_output_tokens
        self._client_left = client_left

    async def fill(
        self, reservation: Reservation, usage: Usage, lacks: Lacks, most_shown_tokens: int = 0
    ) -> Usage:
        """Return the usage completed by what it lacks."""
        cut, most = usage.certainty is Certainty.PARTIAL, reservation.output_tokens
        if usage.certainty is Certainty.NONE or (cut and self._client_left == "seen"):
            return usage
        if cut and self._client_left == "held":
            return replace(usage, output_tokens=max(usage.output_tokens, most))
        lately = await self._book.lately(reservation.deployment)
        seen, default = usage.output_tokens, self._default_tokens
        return replace(
            usage,
            output_tokens=unseen_output(lacks, seen, most, lately, default, most_shown_tokens),
        )

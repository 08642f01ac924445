"""A reservation: what one request holds; and its settlement. Frozen values.

Units: money is integer nano-dollars (`_nanousd`), time integer microseconds since the epoch
(`_us`), tokens are whole.
"""

from __future__ import annotations

from msgspec import Struct

from tollgate.core.calls.asked_pictures import AskedPictures
from tollgate.core.calls.bill import NO_BILL, Bill
from tollgate.core.calls.usage import Certainty, Usage
from tollgate.core.limits.accounts import Accounts, HoldGroup, Meter, Quota
from tollgate.core.limits.limit import METERS


class WorstCase(Struct, frozen=True, array_like=True):
    """The most that one request may use, whatever its prompt and its reply turn out to be: what
    strict limits hold.
    """

    input_tokens: int
    output_tokens: int
    cost_nanousd: int


class Reservation(Struct, frozen=True, array_like=True):
    """One request's holds, and all that settlement needs.

    It travels with the request as dynamic metadata, so any worker can settle it.

    Tokens and `cost_nanousd` are the estimate; `guessed`: the request names no output limit, so its
    output is a configured default.
    `tools`: it defines some. `characters` of text to speak, `audio_seconds` of uploaded sound,
    `pictures` to draw: where the model is priced by them. `service_tier`: the one that it asks for,
    where that has prices of its own. `stream_id` is Envoy's name for the
    request: should the client leave before Envoy has our answer, the access log knows only that.

    `worst`: the worst case, where a limit is strict. `shadow` names the limits in shadow mode that
    the call did not fit; `instead_of` is the model that was asked for, where a limit lets another
    one serve. `traceparent`: the caller's trace, where calls are traced. `levels`: where its limits
    stood before it (see passed_limits.py); the reservation that the store keeps tells none.
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
    shadow: str = ""
    instead_of: str = ""
    worst: WorstCase | None = None
    traceparent: str = ""
    pictures: AskedPictures | None = None
    service_tier: str = ""
    levels: tuple[int, ...] = ()

    def asked(self, quota: Quota) -> int:
        """Return what the call may use of a limit.

        A guess of its output takes a quarter of the limit at most, or else a small limit would
        serve one call at a time. A strict limit is asked for the worst case.
        """
        row = METERS[quota.meter]
        if quota.enforcement.holds_worst_case:
            most = self.worst or self
            return row.estimated(most) + row.estimated_output(most)
        output = row.estimated_output(self)
        if self.guessed and not quota.counts_on:
            output = min(output, quota.amount // 4)
        return row.estimated(self) + output


class Settlement(Struct, frozen=True):
    """What a reservation turned out to cost.

    `told`: it is the provider's own figure, and the bill stands beside it.

    `other_model`: the reply names another model than the one that was admitted. `unanswered`: the
    provider got the whole request, and its answer never came.
    """

    usage: Usage
    cost_nanousd: int
    status: int
    settled_by: str
    bill: Bill = NO_BILL
    told: bool = False
    other_model: bool = False
    unanswered: bool = False

    def counted(self, group: HoldGroup, reservation: Reservation) -> int:
        """Return what limits of a group count for the call, whose reservation this settles.

        Limits that hold the worst case keep it, unless the provider reported all of the usage or
        never got the request: nobody else knows what it will bill.
        """
        row = METERS[group.meter]
        used = self.cost_nanousd if group.meter is Meter.USD else row.used(self.usage)
        if group.worst_case and self.unsure:
            worst = reservation.worst or reservation
            return max(used, row.estimated(worst) + row.estimated_output(worst))
        return used

    @property
    def unsure(self) -> bool:
        """Whether the provider may bill more than the usage says."""
        if self.usage.certainty is Certainty.NONE:
            return self.unanswered
        return self.usage.certainty is not Certainty.EXACT

    @property
    def certainty(self) -> Certainty:
        """How sure the cost is: a part that has no price makes exact counts a partial charge."""
        certainty = self.usage.certainty
        if certainty is Certainty.EXACT and self.bill.unpriced and not self.told:
            return Certainty.PARTIAL
        return certainty

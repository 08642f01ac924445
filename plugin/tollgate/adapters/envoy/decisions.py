"""Decide about Envoy's requests, for both protocols of ext_authz."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from tollgate import telemetry
from tollgate.admission.admission import Request
from tollgate.admission.current import Decides
from tollgate.background import Background
from tollgate.core.answers.error_shapes import error_body
from tollgate.core.calls.decision import Admission, Header, Refusal
from tollgate.core.calls.usage import NO_USAGE
from tollgate.core.requests.dialects import family_of_path
from tollgate.metering.metering import Metering

_CLIENT_CLOSED, _FAILED = 499, 500
_SETTLED_BY = "ext_authz"
_JSON_BODY = Header("content-type", "application/json")

Answer = Callable[[bytes], bool]
"""Sends an answer to Envoy; returns False if nobody waits for it."""


class Wording(Protocol):
    """Words decisions in one protocol."""

    key_may_pass: bytes
    """The answer to a key check: Envoy may take the body and ask again."""

    def admitted(self, asked: Request, admission: Admission) -> bytes:
        """Return the answer for an admitted request."""
        ...

    def refused(self, status: int, headers: tuple[Header, ...], body: bytes) -> bytes:
        """Return the answer for a refused request; the headers include those of the body."""
        ...


class Decisions:
    """Decides about Envoy's requests, each in a task of its own.

    The client may leave, or Envoy may time out, while the store holds something. Holds of a request
    whose answer could not be worded or delivered are given back.
    """

    def __init__(self, admissions: Decides, meter: Metering, wording: Wording) -> None:
        self._admissions = admissions
        self._meter = meter
        self._wording = wording
        self._deciding = Background()

    def decide(self, asked: Request, answer: Answer, *, key_alone: bool) -> None:
        """Answer one request. `key_alone`: its body has not been sent."""
        self._deciding.start(
            self._check_key(asked, answer) if key_alone else self._admit(asked, answer)
        )

    def fail(self, path: str, answer: Answer) -> None:
        """Answer that the decision failed, and log the current exception."""
        telemetry.failed(_SETTLED_BY)
        answer(self._refused(_internal_error(path)))

    async def drain(self, grace_s: float) -> None:
        """Wait for pending decisions, at most `grace_s` seconds."""
        await self._deciding.drain(grace_s)

    async def _check_key(self, asked: Request, answer: Answer) -> None:
        try:
            refusal = await self._admissions.check_key(asked)
        except Exception:  # an outer edge: Envoy gets an answer in any case
            self.fail(asked.path, answer)
            return
        answer(self._wording.key_may_pass if refusal is None else self._refused(refusal))

    async def _admit(self, asked: Request, answer: Answer) -> None:
        began, held = time.perf_counter(), None
        try:
            decision = await self._admissions.admit(asked)
            if isinstance(decision, Refusal):
                response = self._refused(decision)
            else:
                held = decision.reservation
                response = self._wording.admitted(asked, decision)
        except Exception:  # an outer edge: Envoy gets an answer in any case
            self.fail(asked.path, answer)
            if held is not None:
                self._meter.settle_soon(held, NO_USAGE, _FAILED, _SETTLED_BY)
            return
        telemetry.decided(time.perf_counter() - began)
        if not answer(response) and held is not None:
            self._meter.settle_soon(held, NO_USAGE, _CLIENT_CLOSED, _SETTLED_BY)

    def _refused(self, refusal: Refusal) -> bytes:
        headers = (_JSON_BODY, *refusal.headers)
        return self._wording.refused(refusal.status, headers, refusal.body)


def _internal_error(path: str) -> Refusal:
    message = "Tollgate failed to decide about this request; the log says why."
    body = error_body(family_of_path(path), _FAILED, "server_error", message, code="internal_error")
    return Refusal(_FAILED, "internal_error", message, body)

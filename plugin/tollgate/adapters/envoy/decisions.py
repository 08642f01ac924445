"""What both doors of admission do alike, whichever protocol Envoy asks in."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from tollgate import telemetry
from tollgate.admission.admission import Request
from tollgate.admission.current import Decides
from tollgate.background import Background
from tollgate.core.calls.decision import Admission, Header, Refusal
from tollgate.core.calls.usage import NO_USAGE
from tollgate.core.requests.dialects import error_body, family_of_path
from tollgate.metering.metering import Meter

_CLIENT_CLOSED, _FAILED = 499, 500
_SETTLED_BY = "ext_authz"
_JSON_BODY = Header("content-type", "application/json")

Answer = Callable[[bytes], bool]
"""Sends an answer to Envoy. False: nobody waits for it any more."""


class Wording(Protocol):
    """Decisions in the words of one protocol."""

    key_may_pass: bytes
    """The answer to the question for the key alone: Envoy may take the body, and ask again."""

    def admitted(self, asked: Request, admission: Admission) -> bytes:
        """A request that may pass."""
        ...

    def refused(self, status: int, headers: tuple[Header, ...], body: bytes) -> bytes:
        """A request that may not. The headers describe the body, too."""
        ...


class Decisions:
    """Decides about Envoy's requests, each in a task of its own.

    The client may leave, or Envoy's patience end, while the store holds something for a request.
    What is held for a request that gets no answer, or one that
    we failed to word, is given back.
    """

    def __init__(self, admissions: Decides, meter: Meter, wording: Wording) -> None:
        self._admissions = admissions
        self._meter = meter
        self._wording = wording
        self._deciding = Background()

    def decide(self, asked: Request, answer: Answer, *, key_alone: bool) -> None:
        """Answer one request. `key_alone`: its body has not come."""
        self._deciding.start(
            self._check_key(asked, answer) if key_alone else self._admit(asked, answer)
        )

    def fail(self, path: str, answer: Answer) -> None:
        """Answer that deciding itself failed, and log the exception that is being handled."""
        telemetry.failed(_SETTLED_BY)
        answer(self._refused(_internal_error(path)))

    async def drain(self, grace_s: float) -> None:
        """Wait for decisions that are being made, at most `grace_s` seconds."""
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

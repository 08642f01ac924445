"""Admission under a configuration that may change while calls are decided."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, Protocol

from tollgate.admission.admission import Admissions, Request
from tollgate.core.calls.decision import Decision, Refusal


class Decides(Protocol):
    """What decides about requests: `Admissions` documents the methods."""

    def admit(self, request: Request) -> Coroutine[Any, Any, Decision]: ...

    def check_key(self, request: Request) -> Coroutine[Any, Any, Refusal | None]: ...


class CurrentAdmissions:
    """The admissions of the configuration in force.

    A call is decided whole by those that it met: nothing of it is by the one, the rest by the
    other.
    """

    def __init__(self, first: Admissions) -> None:
        self.replace(first)

    def replace(self, other: Admissions) -> None:
        """Let others decide from now on."""
        self.admit = other.admit
        self.check_key = other.check_key

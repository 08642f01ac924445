"""Define what an examination finds, one sentence for each check."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Result(StrEnum):
    """How a check ended. A fault is a hole or a failure; a warning may become one."""

    OK = "ok"
    WARNING = "warning"
    FAULT = "fault"
    NOT_CHECKED = "not checked"


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check: what was seen, and how to mend it."""

    check: str
    result: Result
    seen: str
    fix: str = ""


def ok(check: str, seen: str) -> Finding:
    """Return that a check found nothing wrong."""
    return Finding(check, Result.OK, seen)


def warning(check: str, seen: str, fix: str) -> Finding:
    """Return something that may become a fault."""
    return Finding(check, Result.WARNING, seen, fix)


def fault(check: str, seen: str, fix: str) -> Finding:
    """Return something that is wrong."""
    return Finding(check, Result.FAULT, seen, fix)


def not_checked(check: str, why: str) -> Finding:
    """Return that a check could not be made."""
    return Finding(check, Result.NOT_CHECKED, why)

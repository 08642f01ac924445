"""Define Tollgate's exceptions. A refusal is a value (`Refusal`), never one of these.

TollgateError
├── SettingsError       a fault in the configuration file or a command's options
│   └── NotYet          no fault of theirs: it may be taken in later
├── BadRequest          a fault in a client's body or query
├── NotFound            a management call names an entity that does not exist
│   └── UnknownModel    a client names a model that does not exist, or that it may not use
├── Conflict            an entity exists already, or was changed concurrently
├── StoreUnavailable    the store did not answer in time
│   └── StoreSilent     after it was asked, so the outcome is unknown
├── HistoryUnavailable  the database of the history did not do what it was asked
└── NotTold             an alert did not reach its receiver
"""

from __future__ import annotations

LONGEST_SHOWN = 60
"""Most characters of a client's text that a message repeats."""


def cut(text: str) -> str:
    """Return a client's text cut to LONGEST_SHOWN, for use in a message."""
    return text if len(text) <= LONGEST_SHOWN else f"{text[: LONGEST_SHOWN - 3]}..."


class TollgateError(Exception):
    """Base class of everything that Tollgate raises on purpose; its text is the whole message."""

    def __init__(self, message: str) -> None:
        super().__init__(message)


class SettingsError(TollgateError):
    """The configuration cannot be used; the message has one line per fault."""


class NotYet(SettingsError):
    """A changed configuration cannot be taken in now; nothing is wrong with it."""


class BadRequest(TollgateError):
    """A client sent what cannot be served; `param` names the field, if there is one."""

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


class NotFound(TollgateError):
    """The requested entity does not exist."""


class UnknownModel(NotFound):
    """No such model exists for this caller."""

    def __init__(self, name: str) -> None:
        shown = repr(name if len(name) <= 60 else f"{name[:60]}...")
        super().__init__(f"The model {shown} does not exist, or you may not use it.")


class Conflict(TollgateError):
    """The entity to create exists, or the entity to change has changed."""


class StoreUnavailable(TollgateError):
    """The store did not answer; a later attempt may succeed."""


class StoreSilent(StoreUnavailable):
    """The store was asked and did not answer.

    It is unknown whether it did, or will do, what it was asked.
    """


class HistoryUnavailable(TollgateError):
    """The database of the history did not answer or refused; a later attempt may succeed."""


class NotTold(TollgateError):
    """An alert did not reach its receiver; a later attempt may succeed."""

"""The exceptions of Tollgate. A refusal is a value (`entities.Refusal`), never one of these.

TollgateError
├── SettingsError       the configuration file, or a command's options: the message is for whoever
wrote it
├── BadRequest          a client's body or query: names the field, the value and what would be right
├── NotFound            an entity that a management call names does not exist
│   └── UnknownModel    a model that a client names, or that it may not use
├── Conflict            an entity exists already, or was changed by somebody else meanwhile
└── StoreUnavailable    Valkey did not answer, or not in time
    └── StoreSilent     though it was asked
"""

from __future__ import annotations

LONGEST_SHOWN = 60
"""So many characters of what a client sent are repeated to it."""


def cut(text: str) -> str:
    """A client's own text as a message repeats it: what is long is cut, for a name may have
    megabytes.
    """
    return text if len(text) <= LONGEST_SHOWN else f"{text[: LONGEST_SHOWN - 3]}..."


class TollgateError(Exception):
    """The base: everything that Tollgate raises on purpose.

    Its text is the message and nothing else.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)


class SettingsError(TollgateError):
    """The configuration cannot be used. The message has one line per fault."""


class BadRequest(TollgateError):
    """A client sent what cannot be served. `param` names the field, where there is one."""

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


class NotFound(TollgateError):
    """What was asked for does not exist."""


class UnknownModel(NotFound):
    """There is no such model for this caller."""

    def __init__(self, name: str) -> None:
        shown = repr(name if len(name) <= 60 else f"{name[:60]}...")
        super().__init__(f"The model {shown} does not exist, or you may not use it.")


class Conflict(TollgateError):
    """What was to be made exists, or what was to be changed has changed."""


class StoreUnavailable(TollgateError):
    """The store did not answer. Waiting may help."""


class StoreSilent(StoreUnavailable):
    """The store was asked and did not answer: nobody can tell whether it did what it was asked, or
    will.
    """

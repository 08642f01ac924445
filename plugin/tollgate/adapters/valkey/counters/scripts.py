"""The scripts of the counters, with their constants in place."""

from __future__ import annotations

from hashlib import sha1
from importlib.resources import files
from string import Template

from msgspec import Struct

from tollgate.adapters.valkey.counters.layout import CONSTANTS

_FILES = {"spend": ["spend"], "renew": ["counters", "renew"]}
OPERATIONS = ("reserve", "settle", "peek", "renew", "spend")


class Script(Struct, frozen=True):
    """A Lua script. EVALSHA's name for it is its version: old and new workers run side by side."""

    source: bytes
    sha: str


def rendered(operation: str) -> str:
    """Return an operation's script as the store runs it.

    Its constants are literals: variables would cost a tenth of a run, because every function binds
    them anew with every run.
    """
    names = _FILES.get(operation, ["counters", operation, "reply"])
    folder = files("tollgate.adapters.valkey.counters") / "lua"
    text = "\n".join((folder / f"{name}.lua").read_text(encoding="utf-8") for name in names)
    return Template(text).substitute(CONSTANTS)


def _script(operation: str) -> Script:
    source = rendered(operation).encode()
    return Script(source, sha1(source, usedforsecurity=False).hexdigest())


RESERVE, SETTLE, PEEK, RENEW, SPEND = map(_script, OPERATIONS)

"""The scripts of the counters: each operation's own file after what they share."""

from __future__ import annotations

import re
from hashlib import sha1
from importlib.resources import files

from msgspec import Struct

_CONSTANTS = re.compile(
    r"^local ([A-Z][A-Z0-9_]*(?:, [A-Z][A-Z0-9_]*)*) = (.*?)(?: --.*)?$", re.MULTILINE
)


class Script(Struct, frozen=True):
    """A Lua script. EVALSHA's name for it is its version: old and new workers run side by side."""

    source: bytes
    sha: str


def _script(operation: str) -> Script:
    folder = files("tollgate.adapters.valkey.counters")
    texts = [
        folder.joinpath(name).read_text(encoding="utf-8")
        for name in ("counters.lua", f"{operation}.lua")
    ]
    source = _with_constants_in_place("\n".join(texts)).encode()
    return Script(source, sha1(source, usedforsecurity=False).hexdigest())


def _with_constants_in_place(script: str) -> str:
    """A script whose constants (`local NAMES = LITERALS`, in capitals) are literals where they are
    used.

    To Lua they are variables, which every function binds anew with every run: a tenth of what a run
    costs.
    """
    literals: dict[str, str] = {}
    for names, values in _CONSTANTS.findall(script):
        literals |= zip(names.split(", "), values.split(", "), strict=True)
    return re.sub(
        rf"\b({'|'.join(literals)})\b", lambda name: literals[name[0]], _CONSTANTS.sub("", script)
    )


RESERVE, SETTLE, PEEK, RENEW = map(_script, ("reserve", "settle", "peek", "renew"))

"""Define a decision about a request: an admission or a refusal."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from tollgate.core.calls.refusal_records import LimitHit
from tollgate.core.calls.reservation import Reservation


class Edit(Struct, frozen=True):
    """A splice of a request body: at `offset`, delete `delete` bytes and insert `insert`.

    Offsets refer to the original body.
    """

    offset: int
    delete: int
    insert: str


class Header(Struct, frozen=True, gc=False):
    """One header."""

    name: str
    value: str


AS_JSON = Header("content-type", "application/json")
"""What the request's own header becomes where a client took its JSON for a form."""


class LimitName(Struct, frozen=True, gc=False):
    """Which limit it is of those that a kind of scope has: by its meter, and its window as `1m`."""

    scope: str
    meter: str
    window: str


class Refusal(Struct, frozen=True):
    """A refusal, as the client will read it.

    `limit`: of a refusal by a limit, which one. `hit`, `asked`: where that stood, and what the
    request asked for. Few refusals of a flood are recorded, so `hit` is told when it is asked for.
    """

    status: int
    reason: str
    message: str
    body: bytes
    headers: tuple[Header, ...] = ()
    hit: Callable[[], LimitHit] | None = None
    asked: Reservation | None = None
    limit: LimitName | None = None


class Admission(Struct, frozen=True):
    """A request that may pass: where it goes, what changes in it, what is held for it (None: it
    passes unmetered), and the headers of its reply.

    `path`: the path and query to ask the provider for, where they are not the client's. `coding`:
    the content coding that the body came in, if any; it goes on as `plain`, which `edits` are of.
    `conversation`: where the messages stand in the body. `key_name`: the key's alias or last
    letters; empty for the master key. `as_json`: the body goes on as JSON, whatever the client said
    that it is. `levels`: where the limits stood before the call, for its
    reservation (see passed_limits.py).
    """

    deployment: str
    reservation: Reservation | None
    edits: tuple[Edit, ...] = ()
    headers: tuple[Header, ...] = ()
    path: str | None = None
    coding: str = ""
    plain: bytes = b""
    conversation: tuple[int, int] = (0, 0)
    key_name: str = ""
    levels: tuple[int, ...] = ()
    as_json: bool = False


Decision = Admission | Refusal

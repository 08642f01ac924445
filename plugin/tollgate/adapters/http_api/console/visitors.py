"""Who looks at a page: dependencies that pages ask for, and what keeps strangers out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated
from urllib.parse import parse_qsl, quote, urlsplit

from fastapi import Depends, Request

from tollgate.adapters.http_api.console.sessions import COOKIE, Session, Sessions
from tollgate.adapters.http_api.dependencies import Managed
from tollgate.core.entities import Key
from tollgate.core.errors import BadRequest
from tollgate.management import Management
from tollgate.management.administrators import Administrator, Caller, Denied, Holder, actor

_LONGEST_FORM_BYTES = 64 * 1024
_MOST_FIELDS = 200


class NotSignedIn(Exception):
    """Nobody is signed in; the visitor is led to the page where they can be."""

    def __init__(self, told: str = "") -> None:
        super().__init__(told)
        self.told = told


class Forbidden(Exception):
    """The visitor may not see or do this."""


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who is signed in, by which session, and the token that this session's forms carry.

    `team_ids`: the teams that they are an admin of.
    """

    caller: Caller
    session: Session
    form_token: str
    team_ids: tuple[str, ...] = ()

    @property
    def is_administrator(self) -> bool:
        """Whether all pages are theirs to see."""
        return isinstance(self.caller, Administrator)

    @property
    def leads(self) -> bool:
        """Whether some teams, or all, are theirs to manage."""
        return self.is_administrator or bool(self.team_ids)

    def manages(self, team_id: str | None) -> bool:
        """Return whether a team and its keys are theirs to manage."""
        return self.is_administrator or team_id in self.team_ids

    @property
    def key(self) -> Key | None:
        """Their key; None: it is the master key."""
        return self.caller.key

    @property
    def name(self) -> str:
        """How they are called."""
        if self.key is None:
            return "master key"
        return self.key.alias or self.key.name


Form = dict[str, str]
"""The fields of a form that was posted; of a field that stands twice, the last."""


def sessions_of(request: Request) -> Sessions:
    """Return what signs sessions."""
    sessions: Sessions = request.app.state.sessions
    return sessions


Signed = Annotated[Sessions, Depends(sessions_of)]


def check_admitted(caller: Caller, sessions: Sessions) -> None:
    """Raise Denied for a caller who may not look at the console."""
    if sessions.administrators_only and not isinstance(caller, Administrator):
        raise Denied("This console is for administrators only.", "forbidden", 403)


async def visitor_of(request: Request, management: Managed, sessions: Signed) -> Visitor:
    """Return who is signed in. Raises NotSignedIn."""
    session = sessions.find(request.cookies.get(COOKIE))
    if session is None:
        raise NotSignedIn
    caller: Caller = Administrator()
    team_ids: tuple[str, ...] = ()
    if session.key_hash is not None:
        try:
            caller = await management.callers.authenticate_hash(session.key_hash)
            check_admitted(caller, sessions)
        except Denied as denied:
            raise NotSignedIn(str(denied)) from denied
    if isinstance(caller, Holder) and caller.key.user_id is not None:
        team_ids = await management.users.led_team_ids(caller.key.user_id)
    return Visitor(caller, session, sessions.form_token(session), team_ids)


AnyVisitor = Annotated[Visitor, Depends(visitor_of)]


def administrator(visitor: AnyVisitor) -> Visitor:
    """Return the visitor, who must be an administrator. Raises Forbidden."""
    if not visitor.is_administrator:
        raise Forbidden("This page needs the master key, or an administrator's key.")
    return visitor


Administrating = Annotated[Visitor, Depends(administrator)]


def managing(visitor: Administrating, management: Managed) -> Management:
    """Return the use cases for an administrator: the audit log names them with every change."""
    return management.acting_as(actor(visitor.caller, "console"), visitor.caller.key)


Managing = Annotated[Management, Depends(managing)]


async def read_form(request: Request) -> Form:
    """Return the fields of a form. Raises BadRequest, and Forbidden for another site's form."""
    refuse_other_sites(request)
    received = bytearray()
    async for chunk in request.stream():
        received += chunk
        if len(received) > _LONGEST_FORM_BYTES:
            raise BadRequest(f"the form is longer than {_LONGEST_FORM_BYTES} bytes")
    try:
        pairs = parse_qsl(
            received.decode(), keep_blank_values=True, errors="strict", max_num_fields=_MOST_FIELDS
        )
    except ValueError as error:
        raise BadRequest("the form cannot be read") from error
    return dict(pairs)


def refuse_other_sites(request: Request) -> None:
    """Raise Forbidden when a browser says that a page of another site posts this."""
    site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    elsewhere = site is not None and site not in ("same-origin", "none")
    if site is None and origin is not None:
        elsewhere = urlsplit(origin).netloc != request.headers.get("host")
    if elsewhere:
        raise Forbidden("This form was posted by a page of another site.")


async def posted(request: Request, visitor: AnyVisitor, sessions: Signed) -> Form:
    """Return the fields of a form of this visitor's own session. Raises Forbidden."""
    form = await read_form(request)
    if not sessions.is_form_token(visitor.session, form.pop("form_token", "")):
        raise Forbidden("This form is not of your session. Reload the page and try again.")
    return form


Posted = Annotated[Form, Depends(posted)]


def sign_in_address(request: Request, told: str = "") -> str:
    """Return where to sign in, and from there come back to the page that was asked for."""
    address = "/ui/sign-in"
    if request.method == "GET":
        path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        address += f"?after={quote(path, safe='')}"
        if told:
            address += f"&told={quote(told, safe='')}"
    return address


def own_path(path: str) -> str:
    """Return a path of the console that a query names, or the first page for anything else."""
    parts = urlsplit(path)
    ours = parts.path.startswith("/ui/") and not (parts.scheme or parts.netloc)
    if ours and "\\" not in path and path.isprintable():
        return path
    return "/ui"

"""Who calls: dependencies that routes ask for."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from tollgate.core.headers import misplaced_bearer
from tollgate.management import Management
from tollgate.management.callers import Administrator, Caller, Denied

_KEY_HEADERS = ("x-litellm-api-key", "x-api-key", "api-key", "x-goog-api-key")
_BEARER = "bearer "


def management_of(request: Request) -> Management:
    """The use cases that this API serves."""
    management: Management = request.app.state.management
    return management


Managed = Annotated[Management, Depends(management_of)]


async def caller_of(request: Request, management: Managed) -> Caller:
    """Whoever the request's key belongs to. Raises Denied."""
    secret = _secret(request)
    if secret is None and (told := misplaced_bearer(request.headers)):
        raise Denied(f"Authentication Error, No api key passed in.{told}")
    return await management.callers.authenticate(secret)


Somebody = Annotated[Caller, Depends(caller_of)]


async def administrator_of(request: Request, caller: Somebody) -> Administrator:
    """The caller, who must be an administrator. Raises Denied, in LiteLLM's words."""
    if isinstance(caller, Administrator):
        return caller
    role = caller.user.role.value if caller.user else "unknown"
    raise Denied(
        "Only proxy admin can be used to generate, delete, update info for new keys/users/teams. "
        f"Route={request.url.path}. Your role={role}."
    )


Admin = Annotated[Administrator, Depends(administrator_of)]


def _secret(request: Request) -> str | None:
    authorization = request.headers.get("authorization")
    if authorization is not None:
        if not authorization.lower().startswith(_BEARER):
            raise Denied("Malformed API Key passed in. Ensure Key has `Bearer ` prefix.")
        return authorization[len(_BEARER) :].strip()
    return next((value for name in _KEY_HEADERS if (value := request.headers.get(name))), None)

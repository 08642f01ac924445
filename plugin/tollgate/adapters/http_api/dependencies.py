"""Define dependencies of routes: the use cases and the caller."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from tollgate.core.callers.authentication import objection_to_headers
from tollgate.core.callers.credentials import find_secret
from tollgate.management import Management
from tollgate.management.administrators import Administrator, Caller, Denied, actor, denied


def management_of(request: Request) -> Management:
    """Return the use cases that this API serves."""
    management: Management = request.app.state.management
    return management


Managed = Annotated[Management, Depends(management_of)]


async def caller_of(request: Request, management: Managed) -> Caller:
    """Return the owner of the request's key. Raises Denied."""
    # Not from the query: there, `key` names the key that a call is about.
    secret = find_secret(request.headers, "")
    if secret is None:
        raise denied(objection_to_headers(request.headers))
    return await management.callers.authenticate(secret)


Somebody = Annotated[Caller, Depends(caller_of)]


async def administrator_of(request: Request, caller: Somebody) -> Administrator:
    """Return the caller, who must be an administrator. Raises Denied, in LiteLLM's words."""
    if isinstance(caller, Administrator):
        return caller
    role = caller.user.role.value if caller.user else "unknown"
    raise Denied(
        "Only proxy admin can be used to generate, delete, update info for new keys/users/teams. "
        f"Route={request.url.path}. Your role={role}."
    )


Admin = Annotated[Administrator, Depends(administrator_of)]


def administered(admin: Admin, management: Managed) -> Management:
    """The use cases for an administrator: the audit log names them with every change."""
    return management.acting_as(actor(admin, "API"), admin.key)


Administered = Annotated[Management, Depends(administered)]

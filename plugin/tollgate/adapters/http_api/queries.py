"""Query parameters: those that a path knows, and the types that several paths share."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from tollgate.core.errors import BadRequest

MAX_PAGE = 1_000_000_000
"""The last page that may be asked for: page times size stays a number that every store can count to."""

PageNumber = Annotated[int, Query(ge=1, le=MAX_PAGE, description="Which page, from 1.", examples=[1])]


def check_query(request: Request) -> None:
    """Refuse parameters that the path does not know: a filter that is ignored gives a wrong answer.

    Raises BadRequest that names them.
    """
    given = request.query_params.keys()
    if not given:
        return
    route = request.scope.get("route")
    if not isinstance(route, APIRoute):
        return
    known = _names(route.dependant)
    unknown = sorted(set(given) - known)
    if unknown:
        shown = ", ".join(repr(each[:60]) for each in unknown[:10])
        takes = f"it takes {', '.join(sorted(known))}" if known else "it takes none"
        raise BadRequest(f"{shown} is no query parameter of {route.path}; {takes}", unknown[0][:60])


def _names(dependant: Dependant) -> set[str]:
    """Names of the query parameters of a route and of all that it depends on."""
    own = {each.alias for each in dependant.query_params}
    return own.union(*(_names(each) for each in dependant.dependencies))

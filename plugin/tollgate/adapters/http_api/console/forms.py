"""Forms of entities: their fields are those of the API's requests, which judge them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgspec
from pydantic import BaseModel, ValidationError

from tollgate.adapters.http_api.console.limit_rows import limit_entries
from tollgate.adapters.http_api.console.visitors import Form
from tollgate.adapters.http_api.error_replies import fault
from tollgate.core.errors import BadRequest, Conflict

Body = TypeVar("Body", bound=BaseModel)
T = TypeVar("T")

NUMBERS = (
    "max_budget",
    "rpm_limit",
    "tpm_limit",
    "rpd_limit",
    "tpd_limit",
    "max_parallel_requests",
    "soft_budget",
    "max_iterations",
    "max_budget_per_session",
    "max_budget_in_organization",
    "team_member_budget",
    "team_member_rpm_limit",
    "team_member_tpm_limit",
    "max_budget_in_team",
    "shards",
)
LISTS = ("models", "allowed_models")
OBJECTS = ("model_max_budget", "model_rpm_limit", "model_tpm_limit", "shadow")
RAISED = "Done. It holds everywhere within a second; the bars show what is in force."
RESET = "The spend of this period is 0 now. The ledger stays as it is."
_SEEN = "seen_us"
_SEPARATORS = re.compile(r"[,\s]+")


def body_of(form: Form, model: type[Body], *, blank: bool, **more: Any) -> Body:
    """Return the request that a form makes. Raises BadRequest, which names all faults.

    `blank`: a field without anything in it clears what it names; otherwise it asks for nothing.
    """
    members: dict[str, Any] = dict(more)
    for name, text in form.items():
        if name in model.model_fields and (blank or text.strip()):
            members[name] = _value(name, text.strip())
    entries = limit_entries(form)
    if entries or (blank and entries is not None):
        members["limits"] = entries
    return judged(model, members)


def judged(model: type[Body], members: Mapping[str, Any]) -> Body:
    """Return a request of these members. Raises BadRequest, which names all faults."""
    try:
        return model.model_validate(members)
    except ValidationError as error:
        found = error.errors()
        told = "; ".join(fault(each, each["loc"]) for each in found)
        raise BadRequest(told) from error


def as_seen(form: Form, change: Callable[[T, int], T]) -> Callable[[T, int], T]:
    """Return a change that is made only to an entity as the form showed it.

    It raises Conflict when somebody has changed the entity since.
    """

    def apply(entity: T, now_us: int) -> T:
        updated_us: int = entity.updated_us  # type: ignore[attr-defined]
        if form.get(_SEEN) != str(updated_us):
            raise Conflict("Somebody has changed this since the page was opened. Reload it.")
        return change(entity, now_us)

    return apply


def _value(name: str, text: str) -> Any:
    """Return what a field says, in JSON's types; what cannot be read is left for the request."""
    if name in LISTS:
        return [each for each in _SEPARATORS.split(text) if each]
    if not text:
        return None
    if name in NUMBERS or name in OBJECTS:
        try:
            return msgspec.json.decode(text)
        except msgspec.DecodeError:
            return text
    return text


def id_of(form: Form, name: str = "id") -> str:
    """Return the id of whom a form is about. Raises BadRequest when it names nobody."""
    identity = form.get(name, "").strip()
    if not identity:
        raise BadRequest(f"{name} is required", name)
    return identity

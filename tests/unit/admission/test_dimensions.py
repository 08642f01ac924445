"""Dimensions at admission: what a request says it is made for, and what that is limited to."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs
from tests.desk import SECRET, Desk, admission, chat, refusal
from tests.make import limit_set

from tollgate.core.callers.customer_ids import HEADERS as CUSTOMER_HEADERS
from tollgate.core.callers.dimensions import SESSION, TAG, Dimension
from tollgate.core.calls.decision import Refusal
from tollgate.core.calls.reservation import Settlement
from tollgate.core.calls.usage import Usage
from tollgate.core.entities import NO_LIMITS, Customer, LimitSet, ModelLimits, Tag
from tollgate.core.errors import StoreUnavailable
from tollgate.core.limits.accounts import Meter, Scope, ScopeKind
from tollgate.core.limits.limit import Forever, Limit

ONE = limit_set(rpm=1)
DAY_US = 86_400_000_000
PROJECT = Dimension("project", ("x-project",), ("project", "metadata.project"), limits=ONE)
BEARER = {"authorization": f"Bearer {SECRET}"}


def desk_of(*dimensions: Dimension) -> Desk:
    desk = Desk()
    desk.terms = desk.with_policy(dimensions=dimensions)
    return desk


def scopes(decided: Any) -> list[str]:
    """The scopes of dimensions that a call is charged to."""
    found = admission(decided).reservation
    assert found is not None
    return [f"{each.scope.kind}:{each.scope.id}" for each in found.accounts
            if each.scope.kind in ("tag", "session", "project")]  # fmt: skip


@pytest.mark.parametrize(
    ("headers", "members", "expected"),
    [
        ({"x-project": "a"}, {}, ["project:a"]),
        ({}, {"project": "a"}, ["project:a"]),
        ({}, {"metadata": {"project": "a"}}, ["project:a"]),
        ({}, {"project": 7}, ["project:7"]),
        ({"x-project": "a"}, {"project": "b"}, ["project:a"]),
        ({}, {"project": "b", "metadata": {"project": "c"}}, ["project:b"]),
        ({}, {"project": None, "metadata": None}, []),
        ({}, {"metadata": "text"}, []),
        ({"x-project": ""}, {"project": ""}, []),
        ({"x-litellm-tags": "x, y,x"}, {"metadata": {"tags": ["y"]}}, ["tag:x", "tag:y"]),
        ({"x-litellm-tags": "x"}, {"metadata": {"tags": ["y", "x"]}}, ["tag:x", "tag:y"]),
        ({}, {"metadata": {"tags": "x"}}, ["tag:x"]),
        ({"x-session-id": "s"}, {"metadata": {"trace_id": "t"}}, ["session:s"]),
        ({}, {"metadata": {"trace_id": "t"}}, ["session:t"]),
    ],
)  # fmt: skip
async def test_values_are_told_by_headers_and_places_in_their_order(
    headers: dict[str, str], members: dict[str, Any], expected: list[str]
) -> None:
    """The first source counts, but of tags all do, each once."""
    desk = desk_of(TAG, SESSION, structs.replace(PROJECT, limits=LimitSet()))
    assert scopes(await desk.ask(chat(**members), headers=BEARER | headers)) == expected


@pytest.mark.parametrize(
    ("headers", "members", "named"),
    [
        ({"x-project": "a" * 301}, {}, "x-project"),
        ({}, {"project": "a\n"}, "project"),
        ({}, {"project": 1.5}, "project"),
        ({}, {"project": {"a": 1}}, "project"),
        ({}, {"Project": "a"}, "Project"),
        ({}, {"metadata": {"Project": "a"}}, "metadata.Project"),
        ({}, {"metadata": {"tags": [["a"]]}}, "metadata.tags"),
        ({"x-litellm-tags": ",".join(map(str, range(17)))}, {}, "tag"),
        ({}, {"metadata": {"tags": [str(each) for each in range(17)]}}, "tag"),
    ],
)
async def test_a_value_that_cannot_be_is_refused_by_name(
    headers: dict[str, str], members: dict[str, Any], named: str
) -> None:
    """Too long, not printable, of another type, readable in two ways, or too many."""
    desk = desk_of(TAG, PROJECT)
    status, body, _ = refusal(await desk.ask(chat(**members), headers=BEARER | headers))
    assert (status, named in body["error"]["message"]) == (400, True)


async def test_a_name_that_stands_twice_in_an_object_is_refused() -> None:
    """Parsers take the one or the other."""
    raw = b'{"model": "gpt-4o", "messages": [], "metadata": {"project": "a", "project": "b"}}'
    assert refusal(await desk_of(PROJECT).ask(raw))[0] == 400


async def test_each_value_has_the_limits_of_its_dimension() -> None:
    """A second call of one is refused by name; another value's passes, and one without any."""
    desk = desk_of(PROJECT)
    assert scopes(await desk.ask(chat(project="a"))) == ["project:a"]
    status, body, _ = refusal(await desk.ask(chat(project="a")))
    assert (status, "project a" in body["error"]["message"]) == (429, True)
    admission(await desk.ask(chat(project="b")))
    admission(await desk.ask())


async def test_each_of_several_tags_is_checked_and_charged() -> None:
    """One that is registered has its own limits before the dimension's; all or none are held."""
    desk = desk_of(structs.replace(TAG, limits=limit_set(rpm=2)))
    desk.people.tags["gold"] = Tag("gold", limits=ONE)
    both = {"metadata": {"tags": ["iron", "gold"]}}
    assert scopes(await desk.ask(chat(**both))) == ["tag:iron", "tag:gold"]
    _, body, _ = refusal(await desk.ask(chat(**both)))
    assert "tag gold" in body["error"]["message"]
    iron = chat(metadata={"tags": ["iron"]})
    admission(await desk.ask(iron))
    _, body, _ = refusal(await desk.ask(iron))
    assert "tag iron" in body["error"]["message"]
    assert "Used 2" in body["error"]["message"]


async def test_a_tag_narrows_models_and_can_be_blocked() -> None:
    """As any other entity."""
    desk = desk_of(TAG)
    desk.people.tags["t"] = Tag("t", models=("fast",))
    assert refusal(await desk.ask(chat(metadata={"tags": ["t"]})))[0] == 403
    desk.people.tags["t"] = Tag("t", blocked=True)
    assert refusal(await desk.ask(chat(metadata={"tags": ["t"]})))[0] == 401


async def test_a_sessions_limits_are_its_keys_before_its_dimensions() -> None:
    """Iterations and dollars of one session; sessions of two organizations are two."""
    desk = desk_of(structs.replace(SESSION, limits=limit_set(max_budget_nanousd=10**9)))
    iterations = LimitSet((Limit(Meter.REQUESTS, 1, Forever()),))
    desk.key(session_limits=iterations)
    headers = BEARER | {"x-litellm-trace-id": "run-1"}
    call = admission(await desk.ask(headers=headers)).reservation
    assert call is not None
    await desk.counters.settle(call, Settlement(Usage(), 100, 200, "test"))
    status, body, _ = refusal(await desk.ask(headers=headers))
    assert (status, "session run-1" in body["error"]["message"]) == (429, True)
    desk.key(organization="acme")
    admission(await desk.ask(headers=headers))
    assert await desk.spent("default", Scope(ScopeKind.SESSION, "run-1")) == 100


async def test_what_nobody_registered_is_forgotten_when_idle() -> None:
    """After the time that the dimension says; what somebody registered stays."""
    desk = desk_of(structs.replace(TAG, remember_us=5_000_000))
    desk.people.tags["known"] = Tag("known")
    call = admission(await desk.ask(chat(metadata={"tags": ["walk-in", "known"]}))).reservation
    assert call is not None
    kept = {each.scope.id: each.remember_ms for each in call.accounts}
    assert (kept["walk-in"], kept["known"]) == (5_000, 0)


async def test_a_wildcard_is_one_counter_for_all_models_that_it_stands_for() -> None:
    """Of any scope that limits models."""
    desk = Desk()
    desk.key(model_limits=(ModelLimits("gpt*", ONE),))
    admission(await desk.ask())
    _, body, _ = refusal(await desk.ask())
    assert "for model gpt*" in body["error"]["message"]
    admission(await desk.ask(chat(model="fast")))


async def test_without_dimensions_nothing_is_read() -> None:
    """A body's metadata is the client's."""
    decided = await Desk().ask(chat(metadata={"tags": [["a"]]}, Project="x"))
    assert scopes(decided) == []


def bounded(refuses: bool = False, **changes: Any) -> Dimension:
    return structs.replace(
        PROJECT, most_values=2, remember_us=DAY_US, refuses_more=refuses, limits=ONE, **changes
    )


async def project(desk: Desk, name: str) -> str:
    """Whom a call for a project is charged to, or the code of its refusal."""
    decided = await desk.ask(headers=BEARER | {"x-project": name})
    if isinstance(decided, Refusal):
        return str(refusal(decided)[1]["error"]["code"])
    (scope,) = scopes(decided)
    return scope


async def test_new_values_beyond_the_bound_share_the_limits_of_one() -> None:
    """Those that were there before have their own; a client may name the shared one itself."""
    desk = desk_of(bounded())
    charged = [await project(desk, each) for each in "abc"]
    assert charged == ["project:a", "project:b", "project:(others)"]
    limited = [await project(desk, each) for each in ("d", "(others)", "a")]
    assert limited == ["rate_limit_exceeded"] * 3


async def test_calls_with_new_values_beyond_the_bound_are_refused_where_that_is_said() -> None:
    desk = desk_of(bounded(refuses=True))
    assert [await project(desk, each) for each in "abc"] == [
        *("project:a", "project:b"),
        "too_many_values",
    ]


async def test_a_value_in_use_stays_and_one_that_is_idle_leaves_room() -> None:
    """However often a worker is asked, the store is now and then."""
    desk = desk_of(structs.replace(bounded(), limits=NO_LIMITS))
    assert [await project(desk, each) for each in "ab"] == ["project:a", "project:b"]
    for _ in range(30):
        desk.clock.us += DAY_US // 20
        assert await project(desk, "a") == "project:a"
    assert await project(desk, "c") == "project:c"
    assert await project(desk, "d") == "project:(others)"
    asked = desk.values.asked
    assert [await project(desk, each) for each in "acacac"] == ["project:a", "project:c"] * 3
    assert desk.values.asked == asked


async def test_room_that_is_found_again_is_given_soon() -> None:
    """A worker does not believe for long that there is none."""
    desk = desk_of(structs.replace(bounded(), limits=NO_LIMITS, remember_us=60_000_000))
    assert [await project(desk, each) for each in "abc"][-1] == "project:(others)"
    desk.clock.us += 70_000_000
    assert await project(desk, "c") == "project:c"


async def test_registered_tags_and_customers_are_always_told_apart() -> None:
    """And do not count."""
    desk = desk_of(structs.replace(TAG, most_values=1, remember_us=DAY_US))
    customers = Dimension(ScopeKind.CUSTOMER, CUSTOMER_HEADERS, most_values=1, remember_us=DAY_US)
    desk.terms = desk.with_policy(customers=customers)
    desk.people.tags["known"] = Tag("known")
    desk.people.customers["known"] = Customer("known")
    for name, told in (
        ("known", "known"),
        ("new", "new"),
        ("more", "(others)"),
        ("known", "known"),
    ):
        for by in ({"user": name}, {}):
            headers = BEARER | {"x-litellm-tags": name}
            headers |= {} if by else {"x-litellm-customer-id": name}
            decided = await desk.ask(chat(**by), headers=headers)
            held = admission(decided).reservation
            assert held is not None
            charged = {f"{each.scope.kind}:{each.scope.id}" for each in held.accounts}
            assert {f"tag:{told}", f"customer:{told}"} <= charged


async def test_a_customer_is_named_by_a_header_of_the_configuration() -> None:
    """Before the body, and after the headers that always name one."""
    desk = desk_of()
    desk.terms = desk.with_policy(
        customers=Dimension(ScopeKind.CUSTOMER, (*CUSTOMER_HEADERS, "x-app-user"))
    )
    for further, told in (({}, "ann"), ({"x-litellm-customer-id": "bob"}, "bob")):
        headers = BEARER | {"x-app-user": "ann"} | further
        decided = await desk.ask(chat(user="eve"), headers=headers)
        held = admission(decided).reservation
        assert held is not None
        scopes = {f"{each.scope.kind}:{each.scope.id}" for each in held.accounts}
        assert f"customer:{told}" in scopes


async def test_many_tags_beyond_the_bound_are_charged_once() -> None:
    """They are one scope."""
    desk = desk_of(structs.replace(TAG, most_values=1, remember_us=DAY_US))
    decided = await desk.ask(chat(), headers=BEARER | {"x-litellm-tags": "a,b,c"})
    assert scopes(decided) == ["tag:a", "tag:(others)"]


async def test_sessions_of_organizations_are_counted_apart() -> None:
    """As they are limited."""
    session = structs.replace(SESSION, most_values=2, remember_us=DAY_US)
    desk = desk_of(session)
    headers = BEARER | {"x-session-id": "s"}
    assert scopes(await desk.ask(headers=headers)) == ["session:s"]
    desk.key(organization="acme")
    assert scopes(await desk.ask(headers=headers)) == ["session:s"]
    assert scopes(await desk.ask(headers=BEARER | {"x-session-id": "t"})) == ["session:(others)"]


async def test_while_the_store_is_down_the_bound_refuses_nobody() -> None:
    """What is held decides; the value is asked about again afterwards."""
    desk = desk_of(bounded())
    remember, desk.values.remember = desk.values.remember, _down  # type: ignore[method-assign]
    assert await project(desk, "a") == "project:a"
    desk.values.remember = remember  # type: ignore[method-assign]
    assert [await project(desk, each) for each in "bc"] == ["project:b", "project:c"]


async def _down(*_: object) -> bool:
    raise StoreUnavailable("down")

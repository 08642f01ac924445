"""Who is charged where Envoy vouches for callers."""

from __future__ import annotations

import json
from dataclasses import replace
from ipaddress import ip_network
from typing import Any

import pytest
from msgspec import structs
from tests.desk import MASTER, SECRET, Desk, admission, chat, refusal
from tests.make import limit_set

from tollgate.core.callers.dimensions import TAG, Dimension
from tollgate.core.callers.identity import IdentityRules
from tollgate.core.callers.verified import (
    CLAIMS_HEADER,
    PEER_HEADER,
    SourceKind,
    VerifiedSource,
    certificate_header,
    metadata_header,
)
from tollgate.core.entities import Organization, Team, User
from tollgate.core.limits.accounts import ScopeKind


def claim(name: str, pattern: str = "") -> VerifiedSource:
    return VerifiedSource(SourceKind.CLAIM, name, CLAIMS_HEADER, "", pattern)


def trusted(name: str) -> VerifiedSource:
    return VerifiedSource(SourceKind.TRUSTED_HEADER, name, name)


METADATA = VerifiedSource(
    SourceKind.METADATA, "who.id", metadata_header("own.Filter"), "own.Filter"
)
CERTIFICATE = VerifiedSource(
    SourceKind.CERTIFICATE, "uri", certificate_header("uri"), "", "spiffe://corp/user/([^/]+)"
)
RULES = IdentityRules(
    key=(claim("azp"),),
    user=(claim("sub"), METADATA, CERTIFICATE, trusted("x-user")),
    team=(claim("groups", "team-(.+)"),),
    organization=(claim("https://corp.example/org"),),
    customer=(claim("realm.customer"),),
    trusted_proxies=(ip_network("10.0.0.0/8"), ip_network("fd00::/8")),
)


def desk_of(**changes: Any) -> Desk:
    desk = Desk()
    desk.people.generation = 1
    desk.people.users["ann"] = User("ann")
    desk.people.teams["core"] = Team("core", organization="acme")
    desk.people.organizations["acme"] = Organization("acme")
    rules = {name: getattr(RULES, name) for name in RULES.__struct_fields__} | changes
    desk.terms = replace(desk.terms, identity=IdentityRules(**rules))
    return desk


def scopes(decided: Any) -> list[str]:
    """Whom a call is charged to, but for the proxy."""
    found = admission(decided).reservation
    assert found is not None
    return [f"{each.scope.kind}:{each.scope.id}" for each in found.accounts[1:]]


def claims(**told: Any) -> dict[str, str]:
    return {CLAIMS_HEADER: json.dumps(told)}


BEARER = {"authorization": f"Bearer {SECRET}"}
PROXIED = {PEER_HEADER: "10.1.2.3", "x-user": "ann"}


@pytest.mark.parametrize(
    ("headers", "user"),
    [
        (claims(sub="ann"), "ann"),
        (claims(sub=["ann", "bob"]), "ann"),
        (claims(sub=7), "7"),
        (claims(sub="", realm=1), None),
        (claims(sub=None), None),
        (claims(another="ann"), None),
        ({CLAIMS_HEADER: "[]"}, None),
        ({metadata_header("own.Filter"): '{"who": {"id": "ann"}}'}, "ann"),
        ({metadata_header("own.Filter"): '{"who.id": "ann", "who": {"id": "x"}}'}, "ann"),
        ({metadata_header("own.Filter"): '{"who": "ann"}'}, None),
        ({metadata_header("another"): '{"who": {"id": "ann"}}'}, None),
        ({certificate_header("uri"): "spiffe://corp/user/ann"}, "ann"),
        ({certificate_header("uri"): "spiffe://corp/host/a,spiffe://corp/user/ann"}, "ann"),
        ({certificate_header("uri"): "spiffe://corp/user/ann/x"}, None),
        ({certificate_header("dns"): "spiffe://corp/user/ann"}, None),
        (PROXIED, "ann"),
        ({**PROXIED, PEER_HEADER: "::ffff:10.1.2.3"}, "ann"),
        ({**PROXIED, PEER_HEADER: "fd00::1"}, "ann"),
        ({**PROXIED, PEER_HEADER: "11.1.2.3"}, None),
        ({**PROXIED, PEER_HEADER: "/run/some.sock"}, None),
        ({"x-user": "ann"}, None),
        ({**PROXIED, "x-user": "a,b"}, "a,b"),
        ({**PROXIED, **claims(sub="bob")}, "bob"),
    ],
)
async def test_a_user_is_told_by_the_first_source_that_tells_one(
    headers: dict[str, str], user: str | None
) -> None:
    """Of each kind; what does not match, or nobody vouches for, tells nobody."""
    desk = desk_of(admit_unknown=True)
    decided = await desk.ask(headers=headers)
    if user is None:
        assert refusal(decided)[0] == 401
    else:
        assert f"user:{user}" in scopes(decided)


@pytest.mark.parametrize(
    ("told", "named"),
    [
        ({"sub": {"a": 1}}, "claim 'sub'"),
        ({"sub": True}, "claim 'sub'"),
        ({"sub": 1.5}, "claim 'sub'"),
        ({"sub": "a\n"}, "claim 'sub'"),
        ({"sub": "a" * 301}, "claim 'sub'"),
        ({"sub": "ann", "realm": {"customer": [[]]}}, "claim 'realm.customer'"),
    ],
)
async def test_a_value_that_cannot_be_an_id_is_refused_by_name(
    told: dict[str, Any], named: str
) -> None:
    status, body, _ = refusal(await desk_of(admit_unknown=True).ask(headers=claims(**told)))
    assert (status, named in body["error"]["message"]) == (400, True)


ACME = {"https://corp.example/org": "acme"}


@pytest.mark.parametrize(
    ("told", "charged"),
    [
        ({"sub": "ann"}, ["user:ann", "key:identity:ann::"]),
        ({"sub": "ann", **ACME}, ["organization:acme", "user:ann", "key:identity:ann::acme"]),
        (
            {"sub": "ann", "groups": ["x", "team-core"]},
            ["organization:acme", "team:core", "user:ann", "key:identity:ann:core:"],
        ),
        ({**ACME}, ["organization:acme", "key:identity:::acme"]),
        (
            {"sub": "ann", "realm": {"customer": "eve"}},
            ["user:ann", "customer:eve", "key:identity:ann::"],
        ),
    ],
)
async def test_an_identity_is_charged_like_a_key_of_its_own(
    told: dict[str, Any], charged: list[str]
) -> None:
    """A team belongs to its organization, whatever a claim says."""
    assert scopes(await desk_of().ask(headers=claims(**told))) == charged


@pytest.mark.parametrize(
    ("told", "noun"),
    [
        ({"sub": "bob"}, "user"),
        ({"sub": "ann", "groups": "team-x"}, "team"),
        ({"sub": "ann", "https://corp.example/org": "x"}, "organization"),
        ({"azp": "x", "sub": "ann"}, "key"),
    ],
)
async def test_an_identity_that_nobody_registered_is_refused_by_name(
    told: dict[str, Any], noun: str
) -> None:
    """Also beside a key without a user."""
    status, body, _ = refusal(await desk_of().ask(headers=claims(**told)))
    assert (status, body["error"]["code"]) == (403, "unknown_identity")
    assert f"the {noun} " in body["error"]["message"]


async def test_those_whom_nobody_registered_have_the_default_limits_and_are_forgotten() -> None:
    """Each for itself, and each identity those of a key; the store keeps nothing of them for
    ever.
    """
    desk = desk_of(admit_unknown=True)
    one = limit_set(rpm=1)
    desk.terms = desk.with_policy(defaults={ScopeKind.USER: one, ScopeKind.TEAM: one})
    first = await desk.ask(headers=claims(sub="bob", groups="team-new"))
    held = admission(first).reservation
    assert held is not None
    kept = {each.scope.kind: (each.remember_ms > 0, each.passing) for each in held.accounts}
    assert kept == {
        "proxy": (False, False),
        "team": (True, False),
        "user": (True, False),
        "key": (False, True),
    }
    assert refusal(await desk.ask(headers=claims(sub="bob")))[0] == 429
    assert refusal(await desk.ask(headers=claims(sub="cy", groups="team-new")))[0] == 429
    assert scopes(await desk.ask(headers=claims(sub="cy")))


async def test_a_key_keeps_its_owner_and_takes_the_user_where_it_has_none() -> None:
    desk = desk_of()
    shared = await desk.ask(headers={**BEARER, **claims(sub="ann")})
    assert "user:ann" in scopes(shared)
    assert "user:ann" not in scopes(await desk.ask(headers=BEARER))
    desk.key(user_id="owner")
    desk.people.users["owner"] = User("owner")
    assert "user:owner" in scopes(await desk.ask(headers={**BEARER, **claims(sub="ann")}))
    desk.key()
    assert refusal(await desk.ask(headers={**BEARER, **claims(sub="bob")}))[0] == 403


async def test_a_key_that_nobody_knows_is_ignored_beside_an_identity_and_a_blocked_one_is_not() -> (
    None
):
    """SDKs send some key. The master key stays the master key."""
    desk = desk_of()
    unknown = {"authorization": "Bearer none", **claims(sub="ann")}
    assert "user:ann" in scopes(await desk.ask(headers=unknown))
    master = {"authorization": f"Bearer {MASTER}", **claims(sub="ann")}
    assert scopes(await desk.ask(headers=master)) == []
    desk.key(blocked=True)
    assert refusal(await desk.ask(headers={**BEARER, **claims(sub="ann")}))[0] == 401


async def test_an_alias_finds_its_key_and_what_that_one_may_not_is_refused() -> None:
    desk = desk_of()
    desk.key(alias="app")
    decided = await desk.ask(headers=claims(azp="app", sub="ann"))
    (key,) = desk.people.keys.values()
    assert scopes(decided) == ["user:ann", f"key:{key.id}"]
    desk.key(alias="app", expires_us=1)
    assert refusal(await desk.ask(headers=claims(azp="app")))[0] == 401


async def test_a_verified_customer_comes_before_one_that_the_request_names() -> None:
    told = {**claims(sub="ann", realm={"customer": "eve"}), "x-litellm-customer-id": "x"}
    assert "customer:eve" in scopes(await desk_of().ask(chat(user="y"), headers=told))


async def test_a_head_is_judged_by_its_identity_too() -> None:
    """Envoy asks before it takes a long body."""
    desk = desk_of()
    assert await desk.ask_head(headers=claims(sub="ann")) is None
    refused = await desk.ask_head(headers=claims(sub="bob"))
    assert refused is not None
    assert refused.status == 403


async def test_without_rules_nothing_is_believed() -> None:
    desk = desk_of()
    desk.terms = replace(desk.terms, identity=None)
    assert refusal(await desk.ask(headers=claims(sub="ann")))[0] == 401


async def test_a_dimensions_verified_value_comes_before_what_the_client_says() -> None:
    """A list tells several, where there may be several; a trusted header too."""
    tag = structs.replace(TAG, verified=(claim("roles"), trusted("x-roles")))
    team = Dimension("project", ("x-project",), verified=(claim("project"),))
    desk = desk_of()
    desk.terms = desk.with_policy(dimensions=(tag, team))
    told = claims(sub="ann", roles=["a", "b"], project=["p", "q"])
    headers = {**told, PEER_HEADER: "10.0.0.1", "x-roles": "c, a", "x-project": "mine"}
    charged = scopes(await desk.ask(headers=headers))
    assert [each for each in charged if each.startswith(("tag", "project"))] == [
        "tag:a",
        "tag:b",
        "tag:c",
        "project:p",
    ]

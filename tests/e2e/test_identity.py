"""Callers whom Envoy vouches for: tokens, trusted proxies' headers and certificates, through a real
Envoy that nobody can talk into vouching for somebody else.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import ssl
import textwrap
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from openai import AsyncOpenAI
from tests.e2e.documented_commands import DOCS
from tests.e2e.gateway import CONFIG, Gateway, bearer, gateway
from tests.e2e.test_tls import with_tls
from tests.tokens import AUDIENCE, ISSUER, Issuer
from trustme import CA

from tollgate.core.callers.verified import (
    CLAIMS_HEADER,
    PEER_HEADER,
    certificate_header,
    metadata_header,
)

CHAT = "/v1/chat/completions"
BODY = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}


@dataclass(frozen=True)
class Charged:
    """The status of a call, the code of its refusal, and whom it was charged to."""

    status: int
    code: str | None = ""
    user: str = ""
    team: str = ""
    customer: str = ""


@asynccontextmanager
async def serving(document: str) -> AsyncIterator[str]:
    """A server that has one document."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readline() not in (b"\r\n", b""):
            pass
        head = f"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {len(document)}\r\n\r\n"
        writer.write((head + document).encode())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@dataclass
class Named:
    """A gateway that knows tokens, and who issues them."""

    tollgate: Gateway
    issuer: Issuer

    async def call(self, headers: dict[str, str] | None = None, **members: Any) -> Charged:
        """What becomes of a call."""
        reply = await self.tollgate.client.post(
            self.tollgate.url + CHAT, json={**BODY, **members}, headers=headers or {}
        )
        if not reply.is_success:
            return Charged(reply.status_code, reply.json()["error"]["code"])
        await self.tollgate.settled()
        (record,) = await self.tollgate.records(request_id=reply.headers["x-tollgate-request-id"])
        payers = (record[name] or "" for name in ("user", "team_id", "end_user"))
        return Charged(reply.status_code, "", *payers)

    def token(self, **claims: Any) -> dict[str, str]:
        return bearer(self.issuer.token(**claims))


@pytest_asyncio.fixture(scope="module", params=["grpc", "native"])
async def named(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Named]:
    """Users and teams by claims, customers by a header of a trusted proxy, tags by groups."""
    folder, issuer = tmp_path_factory.mktemp("identity"), Issuer()
    identity = {
        "jwt": {
            "issuer": ISSUER,
            "audiences": [AUDIENCE],
            "jwks_file": str(issuer.write_jwks(folder)),
        },
        "trusted_proxies": ["127.0.0.0/8"],
        "key": {"claim": "azp"},
        "user": {"claim": "sub"},
        "team": {"claim": "groups", "pattern": "team-(.+)"},
        "customer": {"trusted_header": "x-end-user"},
    }
    tag = {"from": [{"claim": "realm.roles"}, {"header": "x-litellm-tags"}]}
    once = [{"meter": "requests", "amount": 1, "per": "1h"}]
    project = {"from": [{"header": "x-project"}], "limits": once, "most": 2}
    dimensions = {"tag": tag, "project": project}
    own = f"  identity: {json.dumps(identity)}\n  dimensions: {json.dumps(dimensions)}\n"
    async with gateway(folder, CONFIG + own, "--mode", request.param) as running:
        await running.manage("/team/new", team_id="core", rpm_limit=100)
        await running.manage("/user/new", user_id="ann", auto_create_key=False)
        yield Named(running, issuer)


async def test_a_token_tells_user_team_and_tags(named: Named) -> None:
    """Without a key of the gateway. A pattern chooses one of several groups."""
    told = {"groups": ["staff", "team-core"], "realm": {"roles": ["nightly"]}}
    await named.tollgate.manage("/tag/new", name="nightly", rpm_limit=1)
    charged = await named.call(named.token(sub="ann", **told))
    assert charged == Charged(200, user="ann", team="core")
    refused = await named.call(named.token(sub="ann", **told))
    assert (refused.status, refused.user) == (429, "")
    assert (await named.call(named.token(sub="ann"))).status == 200


async def test_sdks_send_a_token_where_they_send_a_key(named: Named) -> None:
    """Also one whose body is so long that Envoy asks before it takes it."""
    token = named.issuer.token(sub="ann")
    async with AsyncOpenAI(api_key=token, base_url=f"{named.tollgate.url}/v1") as client:
        words: Any = [{"role": "user", "content": "x" * 300_000}]
        reply = await client.chat.completions.create(model="gpt-4o", messages=words)
    assert reply.choices[0].message.content
    assert (await named.call({"x-api-key": token})).user == "ann"


@pytest.mark.parametrize(
    ("claims", "status", "code"),
    [
        ({"sub": "ann", "lives_s": -600}, 401, "invalid_token"),
        ({"sub": "ann", "lives_s": None}, 401, "invalid_token"),
        ({"sub": "ann", "aud": "another"}, 401, "invalid_token"),
        ({"sub": "ann", "iss": "https://another.example"}, 401, "invalid_token"),
        ({"sub": "nobody"}, 403, "unknown_identity"),
        ({"sub": "ann", "groups": "team-nowhere"}, 403, "unknown_identity"),
        ({"azp": "no-such-alias"}, 403, "unknown_identity"),
        ({"sub": "ann", "groups": {"odd": 1}}, 400, None),
        ({}, 401, "invalid_api_key"),
    ],
)
async def test_a_token_that_says_too_little_is_refused(
    named: Named, claims: dict[str, Any], status: int, code: str
) -> None:
    """The words are those of the API, and say why."""
    refused = await named.call(named.token(**claims))
    assert (refused.status, refused.code) == (status, code)


async def test_a_token_of_another_signer_is_refused(named: Named) -> None:
    forged = await named.call(bearer(Issuer().token(sub="ann")))
    assert (forged.status, forged.code) == (401, "invalid_token")


FORGED = {
    CLAIMS_HEADER: json.dumps({"sub": "ann"}),
    PEER_HEADER: "127.0.0.1",
    metadata_header("any"): json.dumps({"user": "ann"}),
    certificate_header("email"): "ann@corp.example",
}


async def test_a_client_that_sends_envoys_headers_gains_nothing(named: Named) -> None:
    """Alone, with a key that nobody knows, and beside a good token, which still says who asks."""
    assert (await named.call(FORGED)).status == 401
    assert (await named.call({**FORGED, **bearer("sk-unknown")})).status == 401
    await named.tollgate.manage("/user/new", user_id="bob", auto_create_key=False)
    assert (await named.call({**FORGED, **named.token(sub="bob")})).user == "bob"


async def test_an_alias_in_a_token_chooses_a_key(named: Named) -> None:
    """Its limits hold, and a key that is blocked stays so; one made later is found."""
    alias = f"app-{named.tollgate.native}"
    assert (await named.call(named.token(azp=alias))).status == 403
    key = await named.tollgate.key(key_alias=alias, team_id="core")
    assert await named.call(named.token(azp=alias, sub="ann")) == Charged(
        200, user="ann", team="core"
    )
    await named.tollgate.manage("/key/block", key=key)
    assert (await named.call(named.token(azp=alias))).code == "key_blocked"


async def test_a_key_stays_who_it_is_and_a_token_beside_it_adds_its_user(named: Named) -> None:
    """The key's own user and team are not replaced."""
    app = await named.tollgate.key(team_id="core")
    await named.tollgate.manage("/user/new", user_id="owner", auto_create_key=False)
    owned = await named.tollgate.key(user_id="owner")
    told = named.token(sub="ann")
    shared = await named.call({"x-litellm-api-key": app, **told})
    assert shared == Charged(200, user="ann", team="core")
    assert (await named.call({"x-litellm-api-key": owned, **told})).user == "owner"


async def test_a_trusted_proxys_customer_comes_before_the_one_that_the_body_names(
    named: Named,
) -> None:
    charged = await named.call({**named.token(sub="ann"), "x-end-user": "eve"}, user="mallory")
    assert charged == Charged(200, user="ann", customer="eve")


async def test_values_that_clients_make_up_share_limits_beyond_the_bound(named: Named) -> None:
    """Whichever worker is asked: two are told apart, and have one call each like all others."""
    told = named.token(sub="ann")
    called = [await named.call({**told, "x-project": each}) for each in ("a", "b", "c", "d", "a")]
    assert [each.status for each in called] == [200, 200, 200, 429, 429]
    await named.tollgate.metrics('tollgate_dimension_overflows_total{dimension="project"}')


CERTIFIED = """
  identity:
    jwt: {issuer: https://issuer.example, audiences: [llm], jwks_url: "%s/jwks"}
    trusted_proxies: [10.0.0.0/8]
    user:
      - {certificate: email, pattern: '(.+)@corp\\.example'}
      - {trusted_header: x-user}
      - {claim: sub}
    unknown: allow
  default_limits:
    user: [{meter: requests, amount: 2, per: 1h}]
"""


async def test_a_certificate_names_its_user_and_a_header_of_no_trusted_proxy_does_not(
    tmp_path: Path,
) -> None:
    """Nobody registered them: the default limits hold for each. The issuer's keys are fetched."""
    authority, issuer = CA(), Issuer()
    async with serving(issuer.jwks) as url:
        config = with_tls(tmp_path, authority, clients=True) + CERTIFIED % url
        async with gateway(tmp_path, config, "--mode", "native") as running:

            async def call(email: str, **headers: str) -> int:
                context = ssl.create_default_context()
                authority.configure_trust(context)
                authority.issue_cert(email).configure_cert(context)
                async with httpx.AsyncClient(verify=context, timeout=30) as client:
                    reply = await client.post(running.url + CHAT, json=BODY, headers=headers)
                    return reply.status_code

            assert await call("stranger@example.org", **{"x-user": "ann"}) == 401
            assert await call("stranger@example.org", **bearer(issuer.token(sub="cy"))) == 200
            assert [await call("ann@corp.example") for _ in range(3)] == [200, 200, 429]
            assert await call("bob@corp.example", **{"x-user": "ann"}) == 200


PAGE = (DOCS / "identity.md").read_text(encoding="utf-8")


def block_of(page: str, beginning: str) -> str:
    """The indented block of a page that begins so."""
    block = re.search(rf"(?:^    {beginning}.*\n)(?:^(?:    .*)?\n)+", page, re.MULTILINE)
    assert block is not None
    return textwrap.dedent(block[0]).rstrip() + "\n"


async def test_the_example_of_the_page_does_what_the_page_says(tmp_path: Path) -> None:
    """The user of the token has the default limits, and the ledger shows who it was."""
    issuer = Issuer()
    config = block_of(PAGE, "model_list").replace("jwks.json", str(issuer.write_jwks(tmp_path)))
    async with gateway(tmp_path, config) as running:
        call = block_of(PAGE, "curl -i").replace("127.0.0.1:4000", running.url)
        command = call.replace("curl -i", "curl -s -o /dev/null -w '%{http_code}\\n'")
        token = issuer.token(sub="ann", groups=["staff", "llm-core"])

        async def statuses(times: int) -> list[str]:
            process = await asyncio.create_subprocess_exec(
                *("bash", "-euc", command * times),
                env={**os.environ, "TOKEN": token},
                stdout=asyncio.subprocess.PIPE,
            )
            return (await process.communicate())[0].decode().split()

        assert await statuses(3) == ["200", "200", "429"]
        (record, *_) = await running.records()
        assert (record["api_key"], record["team_id"]) == ("identity:ann:core:", "core")

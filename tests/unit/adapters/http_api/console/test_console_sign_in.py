"""Who gets into the console, how, and what keeps others out."""

from __future__ import annotations

import logging
from dataclasses import replace
from hashlib import sha256

import pytest
from tests.unit.adapters.http_api.console.console_visit import Visit
from tests.unit.management_fixtures import MASTER, Api, World

from tollgate.adapters.http_api import events_a_minute
from tollgate.adapters.http_api.console.sessions import COOKIE, LONGEST_S, Sessions
from tollgate.adapters.http_api.console.signing_in import FAILURES_A_MINUTE
from tollgate.adapters.http_api.console.visitors import own_path

PAGES = ["/ui/now", "/ui/usage", "/ui/requests", "/ui/models"]


async def admin_key(api: Api) -> str:
    """A key of an administrator."""
    answer = await api.post("/user/new", {"user_id": "root", "user_role": "proxy_admin"})
    return str(answer.json()["key"])


@pytest.mark.parametrize("path", ["/ui", "/ui/", *PAGES])
async def test_whoever_is_not_signed_in_is_led_to_the_form(visit: Visit, path: str) -> None:
    """From every page."""
    assert "Sign in" in await visit.see(path)
    assert visit.path == "/ui/sign-in"


async def test_the_master_key_signs_in_and_leads_to_now(visit: Visit) -> None:
    """As an administrator's first page."""
    assert "Spent today" in await visit.sign_in()
    assert visit.path == "/ui/now"


@pytest.mark.parametrize("path", PAGES)
async def test_an_administrators_key_sees_every_page(visit: Visit, api: Api, path: str) -> None:
    """As the master key does."""
    await visit.sign_in(await admin_key(api))
    await visit.see(path)
    assert (visit.page.status_code, visit.path) == (200, path)


@pytest.mark.parametrize("path", PAGES)
async def test_an_ordinary_key_sees_no_page_of_administrators(
    visit: Visit, api: Api, path: str
) -> None:
    """403, with a sentence."""
    await visit.sign_in((await api.made())["key"])
    assert "administrator's key" in await visit.see(path)
    assert visit.page.status_code == 403


async def test_only_administrators_get_into_a_console_that_is_theirs_alone(
    world: World, api: Api
) -> None:
    """Also with a session that began before; the form says why."""
    ordinary = (await api.made())["key"]
    visit = Visit(world, administrators_only=True)
    assert "for administrators only" in await visit.sign_in(ordinary)
    assert visit.page.status_code == 403
    sessions = Sessions.of(MASTER)
    begun = sessions.begin(sha256(ordinary.encode()).hexdigest())
    visit.client.cookies.set(COOKIE, sessions.cookie(begun))
    assert "for administrators only" in await visit.see("/ui/mine")
    visit.client.cookies.clear()
    assert "Spent today" in await visit.sign_in()


async def test_signing_in_leads_back_to_the_page_that_was_asked_for(visit: Visit) -> None:
    """With its query."""
    await visit.see("/ui/requests", model="gpt-4o")
    after = visit.page.url.params["after"]
    await visit.send("/ui/sign-in", key=MASTER, after=after)
    assert str(visit.page.url) == "http://tollgate/ui/requests?model=gpt-4o"


@pytest.mark.parametrize(
    "path",
    ["https://evil.example/ui/now", "//evil.example/ui/", "/key/list", "/ui/\\evil", "/ui/\nx", ""],
)
def test_signing_in_leads_nowhere_else(path: str) -> None:
    """Neither to another site nor to the API."""
    assert own_path(path) == "/ui"


@pytest.mark.parametrize("key", ["", "sk-wrong", "\x00", "ü" * 300])
async def test_a_wrong_key_is_refused_with_a_sentence(visit: Visit, key: str) -> None:
    """401, and the form once more, without what was typed."""
    assert "Sign in" in await visit.sign_in(key)
    assert visit.page.status_code == 401
    assert "tollgate_session" not in visit.client.cookies
    assert 'role="alert"' in visit.page.text


async def test_the_cookie_is_for_the_server_alone(visit: Visit) -> None:
    """No script reads it, no other site sends it, and no API sees it; it holds no secret."""
    answer = await visit.client.post("/ui/sign-in", data={"key": MASTER})
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert "path=/ui" in cookie
    assert "secure" not in cookie
    assert MASTER not in cookie


async def test_the_cookie_is_secure_where_the_client_came_by_tls(visit: Visit) -> None:
    """Envoy tells."""
    headers = {"x-forwarded-proto": "https"}
    answer = await visit.client.post("/ui/sign-in", data={"key": MASTER}, headers=headers)
    assert "secure" in answer.headers["set-cookie"].lower()


async def test_signing_out_ends_the_session(visit: Visit) -> None:
    """Its cookie goes."""
    await visit.sign_in()
    assert "Sign in" in await visit.send("/ui/sign-out")
    await visit.see("/ui/now")
    assert visit.path == "/ui/sign-in"


async def test_a_session_ends_with_its_key(visit: Visit, api: Api) -> None:
    """Blocked: the next page asks to sign in, and says why."""
    key = await admin_key(api)
    await visit.sign_in(key)
    await api.post("/key/block", {"key": key})
    assert "blocked" in await visit.see("/ui/now")
    assert visit.path == "/ui/sign-in"


def test_a_session_is_read_only_as_it_was_signed() -> None:
    """Not another's, not a changed one, not one of another master key."""
    sessions = Sessions.of("sk-1")
    session = sessions.begin(None)
    cookie = sessions.cookie(session)
    assert sessions.find(cookie) == session
    assert Sessions.of("sk-1").find(cookie) == session
    assert Sessions.of("sk-2").find(cookie) is None
    assert Sessions.of(None).find(cookie) is None
    assert sessions.find("x" + cookie) is None
    assert sessions.find(sessions.form_token(session)) is None
    assert sessions.find(None) is None


def test_a_session_is_over_after_half_a_day(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the browser says."""
    sessions = Sessions.of("sk-1")
    cookie = sessions.cookie(sessions.begin(None))
    import time

    now = time.time()
    monkeypatch.setattr("itsdangerous.timed.time.time", lambda: now + LONGEST_S + 2)
    assert sessions.find(cookie) is None


async def test_a_form_without_its_sessions_token_is_refused(visit: Visit) -> None:
    """Another session's will not do."""
    await visit.sign_in()
    other = Sessions.of(MASTER)
    for token in ("", "x", other.form_token(other.begin(None))):
        answer = await visit.client.post("/ui/sign-out", data={"form_token": token})
        assert answer.status_code == 403


@pytest.mark.parametrize(
    "headers", [{"sec-fetch-site": "cross-site"}, {"origin": "https://evil.example"}]
)
async def test_a_form_of_another_site_signs_nobody_in(
    visit: Visit, headers: dict[str, str]
) -> None:
    """Browsers tell where a form was."""
    answer = await visit.client.post("/ui/sign-in", data={"key": MASTER}, headers=headers)
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


async def test_a_form_of_our_own_is_taken(visit: Visit) -> None:
    """With what a browser says of it."""
    headers = {"sec-fetch-site": "same-origin", "origin": "http://tollgate"}
    answer = await visit.client.post("/ui/sign-in", data={"key": MASTER}, headers=headers)
    assert answer.status_code == 303


async def test_an_address_that_fails_too_often_has_to_wait(visit: Visit) -> None:
    """Even with the right key; other addresses do not."""
    elsewhere = {"x-forwarded-for": "10.0.0.9"}
    for _ in range(FAILURES_A_MINUTE):
        await visit.sign_in("sk-wrong")
    await visit.sign_in()
    assert visit.page.status_code == 429
    assert 0 < int(visit.page.headers["retry-after"]) <= 60
    answer = await visit.client.post("/ui/sign-in", data={"key": MASTER}, headers=elsewhere)
    assert answer.status_code == 303


def test_failures_are_forgotten_after_a_minute_and_by_the_oldest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is remembered is bounded."""
    now = [0.0]
    monkeypatch.setattr(events_a_minute, "_MOST_KNOWN", 2)
    attempts = events_a_minute.EventsAMinute(FAILURES_A_MINUTE, lambda: now[0])
    for _ in range(FAILURES_A_MINUTE):
        attempts.count("a")
    assert attempts.wait_s("a") == 60
    now[0] = 60.5
    assert attempts.wait_s("a") == 0
    for _ in range(FAILURES_A_MINUTE):
        attempts.count("b")
    attempts.count("c")
    attempts.count("d")
    assert attempts.wait_s("b") == 0


async def test_who_signs_in_is_logged_without_the_secret(
    visit: Visit, api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    """Who, from where, and who did not."""
    made = await api.made()
    with caplog.at_level(logging.INFO, "tollgate.console"):
        await visit.sign_in("sk-planted-secret-1234567")
        await visit.sign_in(made["key"])
        await visit.sign_in()
    assert len(caplog.messages) == 3
    assert "refused" in caplog.messages[0]
    assert f"sk-...{made['key'][-4:]}" in caplog.messages[1]
    assert "master key" in caplog.messages[2]
    for secret in ("planted", made["key"], MASTER):
        assert secret not in caplog.text


@pytest.mark.parametrize("path", ["/ui/sign-in", "/ui/now", "/ui/nothing"])
async def test_every_page_says_what_a_browser_may_load(visit: Visit, path: str) -> None:
    """Nothing from elsewhere, nothing inline, in no frame, kept nowhere."""
    await visit.sign_in()
    await visit.see(path)
    policy = visit.page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert visit.page.headers["cache-control"] == "no-store"
    assert " style=" not in visit.page.text
    assert "<style" not in visit.page.text
    assert "http://" not in visit.page.text.replace("http://mock-llm", "")


async def test_a_form_that_is_too_long_or_broken_is_refused(visit: Visit) -> None:
    """With a page."""
    for body in (b"key=" + b"x" * 70_000, b"key=%ff", b"&".join([b"a=1"] * 300)):
        answer = await visit.client.post("/ui/sign-in", content=body)
        assert answer.status_code == 400
        assert "<h1>" in answer.text


async def test_files_are_served_and_nothing_beside_them(visit: Visit) -> None:
    """Without a session, since the form to sign in needs them."""
    for name in ("console.css", "console.js", "htmx.min.js", "icon.svg"):
        assert (await visit.client.get(f"/ui/static/{name}")).status_code == 200
    for name in ("../application.py", "%2e%2e/application.py", "", "nothing.css"):
        assert (await visit.client.get(f"/ui/static/{name}")).status_code in (303, 404)


async def test_a_store_that_is_down_is_a_page(visit: Visit, world: World) -> None:
    """503, with what to do."""
    key = await admin_key_in(world)
    await visit.sign_in(key)

    async def fail(*_: object) -> None:
        from tollgate.core.errors import StoreUnavailable

        raise StoreUnavailable("redis://:password@host")

    world.registry.get = fail  # type: ignore[method-assign,assignment]
    text = await visit.see("/ui/now")
    assert visit.page.status_code == 503
    assert "store" in text
    assert "password" not in text


async def admin_key_in(world: World) -> str:
    """A key of an administrator, by the use cases."""
    from tollgate.core.entities import Role, User

    await world.management.users.create(
        User("root"), lambda each, _: replace(each, role=Role.ADMIN)
    )
    made = await world.management.keys.create(lambda each, _: replace(each, user_id="root"))
    return made.secret

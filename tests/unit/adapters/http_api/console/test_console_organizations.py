"""Organizations in the console: the first level of the tree."""

from __future__ import annotations

import re

from tests.unit.adapters.http_api.console.console_visit import Visit
from tests.unit.management_fixtures import Api


async def test_an_organization_is_made_changed_and_shows_what_is_in_it(
    visit: Visit, api: Api
) -> None:
    """Its teams below it, with their members and keys one level further down."""
    await visit.sign_in()
    await visit.see("/ui/people", show="organizations")
    text = await visit.send(
        "/ui/people/organization/new",
        organization_id="acme",
        organization_alias="Acme",
        shards="4",
    )
    assert "The organization is made." in text
    seen = re.search(r'name="seen_us" value="(\d+)"', visit.page.text)
    assert seen is not None
    fields = {"id": "acme", "seen_us": seen[1], "organization_alias": "Acme", "rpm_limit": "3"}
    assert "Saved." in await visit.send("/ui/people/organization", **fields)
    await visit.see("/ui/people", show="teams")
    await visit.send("/ui/people/team/new", team_id="core", organization_id="acme")
    await api.post(
        "/organization/member_add", {"organization_id": "acme", "member": {"user_id": "ann"}}
    )
    info = (await api.get("/organization/info", organization_id="acme")).json()
    assert info["shards"] == 4
    text = await visit.see("/ui/people/organization", id="acme")
    assert "requests per min (RPM)" in text
    for linked in ("/ui/people/team?id=core", "/ui/people/user?id=ann"):
        assert linked in visit.page.text
    await visit.see("/ui/people/team", id="core")
    assert "/ui/people/organization?id=acme" in visit.page.text
    for action, word in (("block", "Blocked."), ("unblock", "Unblocked.")):
        assert word in await visit.send(f"/ui/people/organization/{action}", id="acme")
    await visit.see("/ui/people", show="organizations")
    assert "/ui/people/organization?id=acme" in visit.page.text

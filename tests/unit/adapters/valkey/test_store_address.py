"""The store's URL: what is read of it, and what is refused in one sentence."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
import trustme

from tollgate.adapters.valkey.connection.address import StoreAddress, StoreKind
from tollgate.adapters.valkey.connection.client import connect
from tollgate.core.errors import SettingsError


@pytest.mark.parametrize(
    ("url", "place", "database"),
    [
        ("redis://h", "h:6379", 0),
        ("redis://h:7/3", "h:7", 3),
        ("redis://h/?db=4", "h:6379", 4),
        ("redis://[::1]:7/1", "::1:7", 1),
        ("redis://", "localhost:6379", 0),
        ("rediss://h:7/2", "h:7", 2),
        ("unix:///run/a%20b.sock?db=5", "/run/a b.sock", 5),
    ],
)
def test_a_url_says_where_the_store_is(url: str, place: str, database: int) -> None:
    """As the client library's URLs do."""
    address = StoreAddress.of(url)
    assert (str(address), address.database) == (place, database)
    assert (address.tls is not None) == url.startswith("rediss")


def test_sentinels_are_named_with_the_primary_that_they_watch() -> None:
    """The user is the primary's, and the sentinels' own stands in options."""
    address = StoreAddress.of(
        "valkeys+sentinel://bob:pw@s1,s2:7,[::1]:8/main/3?sentinel_username=u&sentinel_password=p"
    )
    assert str(address) == "main of the sentinels s1:26379, s2:7, ::1:8"
    assert [str(each) for each in address.sentinels] == ["s1:26379", "s2:7", "::1:8"]
    assert {each.login for each in address.sentinels} == {(("AUTH", "u", "p"),)}
    primary = address.at("h", 1)
    assert (str(primary), primary.login) == ("h:1", (("AUTH", "bob", "pw"), ("SELECT", 3)))
    assert primary.tls is not None
    assert {each.tls for each in address.sentinels} == {primary.tls}


@pytest.mark.parametrize("scheme", ["redis", "valkey", "rediss", "valkeys"])
def test_nodes_of_a_cluster_are_named_side_by_side(scheme: str) -> None:
    address = StoreAddress.of(f"{scheme}+cluster://bob:p%2Cw@h1,h2:7")
    assert (address.kind, address.seeds) == (StoreKind.CLUSTER, (("h1", 6379), ("h2", 7)))
    assert address.login == (("AUTH", "bob", "p,w"),)
    assert (address.tls is not None) == (scheme in ("rediss", "valkeys"))


@pytest.mark.parametrize(
    ("url", "login"),
    [
        ("redis://h/2", (("SELECT", 2),)),
        ("redis://:se%40cret%2F@h", (("AUTH", "se@cret/"),)),
        ("redis://b%3Ab:p%25@h/1", (("AUTH", "b:b", "p%"), ("SELECT", 1))),
        ("unix://bob:secret@/run/v.sock", (("AUTH", "bob", "secret"),)),
        ("redis://h", ()),
    ],
)
def test_what_a_new_connection_says_first(url: str, login: tuple[tuple[str, ...], ...]) -> None:
    """Percent-encoding is undone, once."""
    assert StoreAddress.of(url).login == login


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("foo", "begins with no scheme"),
        ("", "begins with no scheme"),
        ("h:6379", "begins with no scheme"),
        ("http://h:1", "begins with 'http://'"),
        ("redis+proxy://h:1", "begins with 'redis+proxy://'"),
        ("unix+cluster://h:1", "begins with 'unix+cluster://'"),
        ("valkey+sentinel://h:1", "names sentinels, but not the primary"),
        ("valkey+cluster://h:1/2", "names the database 2; a cluster has the database 0 only"),
        ("valkey://h:1,i:2", "names several servers"),
        ("valkey://h?sentinel_password=p", "option 'sentinel_password', which valkey:// does not"),
        ("valkey+cluster://h,i?db=one", "names the database 'one'"),
        ("redis://h:port", "the store's URL is none: "),
        ("redis://h:99999", "the store's URL is none: "),
        ("redis://[::1", "the store's URL is none: "),
        ("redis://h/one", "names the database 'one'"),
        ("redis://h?db=-1", "names the database '-1'"),
        ("redis://h?ssl_cert_reqs=none", "option 'ssl_cert_reqs', which redis:// does not take"),
        ("rediss://h?ssl_cert_req=none", "option 'ssl_cert_req', which rediss:// does not take"),
        ("rediss://h?ssl_cert_reqs=maybe", "ssl_cert_reqs in the store's URL is 'maybe'"),
        (
            "rediss://h?ssl_check_hostname=perhaps",
            "ssl_check_hostname in the store's URL is 'perhaps'",
        ),
        (
            "rediss://h?ssl_ca_certs=/no/such/file",
            "(/no/such/file) that cannot be used: No such file",
        ),
        ("redis://h?socket_timeout=soon", "socket_timeout in the store's URL is 'soon'"),
        ("redis://h?socket_timeout=nan", "socket_timeout in the store's URL is 'nan'"),
        ("unix://", "names no socket"),
    ],
)
def test_what_is_no_url_is_refused_in_one_sentence(url: str, told: str) -> None:
    """By whoever reads it."""
    with pytest.raises(SettingsError) as refused:
        StoreAddress.of(url)
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)
    with pytest.raises(SettingsError):
        connect(url, 1)


@pytest.mark.parametrize(
    "url", ["redis://:hush@h:port", "reddis://:hush@h", "redis://:hush@h?x=1", ":hush@h"]
)
def test_no_message_holds_the_password(url: str) -> None:
    with pytest.raises(SettingsError) as refused:
        StoreAddress.of(url)
    assert "hush" not in str(refused.value)


@pytest.mark.parametrize(
    ("options", "mode", "checks"),
    [
        ("", ssl.CERT_REQUIRED, True),
        ("?ssl_cert_reqs=none", ssl.CERT_NONE, False),
        ("?ssl_cert_reqs=required&ssl_check_hostname=false", ssl.CERT_REQUIRED, False),
        ("?ssl_cert_reqs=optional", ssl.CERT_OPTIONAL, True),
    ],
)
def test_options_of_tls_say_how_the_store_is_verified(
    options: str, mode: ssl.VerifyMode, checks: bool
) -> None:
    """Fully, unless they say otherwise."""
    tls = StoreAddress.of("rediss://h" + options).tls
    assert tls is not None
    assert (tls.verify_mode, tls.check_hostname) == (mode, checks)


def test_authorities_of_ones_own_replace_the_systems(tmp_path: Path) -> None:
    """Whoever names one trusts that one."""
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    tls = StoreAddress.of(f"rediss://h?ssl_ca_certs={tmp_path}/ca.pem").tls
    assert tls is not None
    assert len(tls.get_ca_certs()) == 1


def test_timeouts_of_the_url_are_seconds() -> None:
    address = StoreAddress.of("redis://h?socket_timeout=1.5&socket_connect_timeout=3")
    assert (address.timeout_s, address.connect_timeout_s) == (1.5, 3)

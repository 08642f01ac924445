"""`tollgate.identity`: what is declared, and what is refused with what would be right."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tollgate.settings import TollgateSettings, load

JWT = {"issuer": "https://i.example", "audiences": ["llm"], "jwks_file": "keys.json"}


def settings(identity: Any, **others: Any) -> TollgateSettings:
    return TollgateSettings.model_validate({"identity": identity, **others})


def test_one_source_and_one_issuer_may_stand_without_a_list() -> None:
    """And names of headers in any case."""
    single = settings({"jwt": JWT, "user": {"claim": "sub"}}).identity
    listed = settings({"jwt": [JWT], "user": [{"claim": "sub"}]}).identity
    assert single == listed
    told = settings(
        {"trusted_proxies": ["10.0.0.0/8"], "user": {"trusted_header": "X-User"}}
    ).identity
    assert told is not None
    assert [each.header for each in told.rules().user] == ["x-user"]


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"user": {"claim": "sub"}}, "names no issuer"),
        ({"user": {"trusted_header": "x-user"}}, "names no proxy"),
        ({"jwt": JWT, "user": {"claim": "sub", "certificate": "uri"}}, "each source is one of"),
        ({"user": {}}, "each source is one of"),
        ({"user": {"certificate": "subject"}}, "'uri', 'dns' or 'email'"),
        ({"user": {"metadata": "a.filter"}}, "belong together"),
        ({"user": {"metadata": "a:b", "at": "c"}}, "no namespace"),
        ({"user": {"metadata": "a%b", "at": "c"}}, "no namespace"),
        ({"user": {"header": "x-user"}}, "header"),
        ({"user": {"trusted_header": "x user"}}, "no name of a header"),
        ({"user": {"trusted_header": "X-Tollgate-Verified-Claims"}}, "header of Tollgate's own"),
        ({"jwt": JWT, "user": {"claim": "sub", "pattern": "("}}, "no regular expression"),
        ({"jwt": JWT, "user": {"claim": "sub", "pattern": "(a)(b)"}}, "more than one group"),
        ({"jwt": {**JWT, "audiences": []}}, "audiences"),
        ({"jwt": {**JWT, "jwks_url": "https://i.example/keys"}}, "either jwks_file or jwks_url"),
        ({"jwt": {"issuer": "i", "audiences": ["a"]}}, "either jwks_file or jwks_url"),
        ({"jwt": {"issuer": "i", "audiences": ["a"], "jwks_url": "i.example"}}, "https://"),
        ({"trusted_proxies": ["10.0.0.1/8"]}, "host bits"),
        ({"trusted_proxies": ["proxy.example"]}, "no network"),
    ],
)
def test_what_cannot_be_verified_is_refused_by_name(given: Any, named: str) -> None:
    with pytest.raises(ValidationError, match=named):
        settings(given)


def test_a_dimensions_source_that_nothing_verifies_is_refused() -> None:
    """Or its limits would hold for nobody."""
    told = {"project": {"from": [{"claim": "project"}]}}
    with pytest.raises(ValidationError, match="names no issuer"):
        settings(None, dimensions=told)
    assert settings({"jwt": JWT}, dimensions=told)
    with pytest.raises(ValidationError, match="pattern is for what Envoy vouches for"):
        settings({"jwt": JWT}, dimensions={"p": {"from": [{"header": "x", "pattern": "a"}]}})


def noticed(folder: Path, tollgate: Any) -> list[str]:
    file = folder / "file.yaml"
    file.write_text(json.dumps({"model_list": [], "tollgate": tollgate}), encoding="utf-8")
    return [each for each in load(file, {}).notices if "client_ca" in each]


def test_certificates_that_this_gateway_asks_nobody_for_are_noticed(tmp_path: Path) -> None:
    """An Envoy of somebody's own may ask; `up` does with tls.client_ca."""
    certificate = {"identity": {"user": {"certificate": "uri"}}}
    tag = {"dimensions": {"tag": {"from": [{"certificate": "dns"}]}}}
    tls = {"certificate": "c.pem", "key": "k.pem", "client_ca": "a.pem"}
    assert len(noticed(tmp_path, certificate)) == 1
    assert len(noticed(tmp_path, tag)) == 1
    assert noticed(tmp_path, {**certificate, "tls": tls}) == []
    assert noticed(tmp_path, {"identity": {"jwt": JWT, "user": {"claim": "sub"}}}) == []

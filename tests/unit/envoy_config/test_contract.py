"""The contract between Envoy's configuration, its Lua and our doors: each side takes every word
from it, and needs the other to do so.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from tests.unit.envoy_config import changed_contract, journeys
from tests.unit.envoy_config.changed_contract import HEALTH, STATUSES

import tollgate
from tollgate.core import envoy_contract
from tollgate.envoy_config import literals
from tollgate.pb import access_log_pb2, ext_authz_pb2, ext_proc_pb2

PACKAGE = Path(tollgate.__file__).parent
WORDS = changed_contract.words()
OURS = {name: getattr(envoy_contract, name) for name in WORDS}

BETWEEN_DOORS = {"METERED", "SETTLED", "HIDDEN"}
"""What one door of ours tells another, or tells by being there: Envoy carries it unseen."""
WITHIN_ENVOY = {
    "CLEAN_FILTER",
    "CORS_FILTER",
    "TOKEN_FILTER",
    "VERIFIED_FILTER",
    "TOKEN_NAMESPACE",
    "TOKEN_CLAIMS",
    "TOKEN_FAULT",
    "KEY_CHECK_FILTER",
    "CHANGES_FILTER",
    "METER_FILTER",
    "SECOND_LOOK_FILTER",
    "EXT_PROC_FILTER",
    "ROUTE_PREFIX",
    "NO_CLUSTER_HEADER",
    "UPSTREAM_NAMESPACE",
    "UPSTREAM_PATH",
}
"""What one part of Envoy's configuration tells another: our doors never see it."""


def put(document: object, words: dict[str, str]) -> Any:
    """A document with other words in the place of those, the longest first."""
    text = json.dumps(document)
    for each in sorted(words, key=len, reverse=True):
        text = text.replace(json.dumps(each)[1:-1], json.dumps(words[each])[1:-1])
    return json.loads(text)


def in_our_words(document: object, *, but: str | None = None) -> Any:
    """What was rendered with a changed contract, in the words of ours; `but` one name's."""
    text = json.dumps(document)
    for status, carried_as in STATUSES.items():
        ours = envoy_contract.TUNNELLED_STATUSES[status]
        text = text.replace(f'"default_value": {carried_as}', f'"default_value": {ours}')
    words = {WORDS[name]: OURS[name] for name in WORDS if name != but}
    for name, value in HEALTH.items():
        words[value.hex()] = getattr(envoy_contract, name).hex()
    return put(json.loads(text), words)


@pytest.fixture(scope="module")
def rendered() -> Any:
    """Both modes' configuration."""
    return json.loads(json.dumps(journeys.render()))


@pytest.fixture(scope="module")
def changed() -> Any:
    """What is rendered where every word of the contract is another, and what becomes of
    requests.
    """
    return changed_contract.told()


async def outcome(configuration: Any, folder: Path) -> Any:
    return await journeys.travel(configuration, folder)


@pytest.fixture(scope="module")
async def usual(rendered: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What becomes of requests."""
    return await outcome(rendered, tmp_path_factory.mktemp("usual"))


def test_the_journeys_go_where_requests_should(usual: Any) -> None:
    """Or a change would be compared with a failure."""
    assert {name: each["status"] for name, each in usual.items()} == {
        name: 503 if name.endswith("refused") else 200 for name in usual
    }
    for name, each in usual.items():
        assert (each["smuggled"], each["asked for the key alone"]) == (0, 1)
        assert (each["admission asked"], each["verified"]) == (["7-1"], 2)
        if not name.endswith("refused"):
            assert (each["routed"], len(each["ledger"])) == ("failing over", 1)
    paid = [each["ledger"] for name, each in usual.items() if "stream" in name]
    assert paid == [[[3, 4, "exact"]]] * 4


def test_both_sides_follow_a_changed_contract(usual: Any, changed: Any) -> None:
    """With every word another, all becomes of all requests that became of them before."""
    _, became = changed
    assert became == usual


def test_the_configuration_takes_every_word_from_the_contract(rendered: Any, changed: Any) -> None:
    """With every word another it is the same configuration but for those words."""
    assert in_our_words(changed[0]) == rendered


def test_only_what_doors_tell_each_other_is_not_in_the_configuration(changed: Any) -> None:
    text = json.dumps(changed[0])
    assert {name for name, word in WORDS.items() if word not in text} == BETWEEN_DOORS


@pytest.mark.parametrize("name", sorted(set(WORDS) - BETWEEN_DOORS))
async def test_a_word_that_only_envoy_changes_is_missed(
    name: str, usual: Any, changed: Any, tmp_path: Path
) -> None:
    """Something becomes of requests that did not before; and nothing, where our doors
    do not care.
    """
    became = await outcome(in_our_words(changed[0], but=name), tmp_path)
    assert (became == usual) == (name in WITHIN_ENVOY)


LISTED = [*envoy_contract.TOLD_PREFIXES, *envoy_contract.REFUSAL_HEADERS]


@pytest.mark.parametrize("name", LISTED)
async def test_a_header_that_envoy_is_not_told_of_does_not_reach_the_client(
    name: str, rendered: Any, usual: Any, tmp_path: Path
) -> None:
    """In native mode Envoy hands on those that it knows, and no others."""
    text = json.dumps(rendered)
    for kind in ("prefix", "exact"):
        text = text.replace(f'{{"{kind}": "{name}"}}', f'{{"{kind}": "zz"}}')
    became = await outcome(json.loads(text), tmp_path)
    assert became["native: refused"]["told"] != usual["native: refused"]["told"]
    assert became["grpc: refused"] == usual["grpc: refused"]


@pytest.mark.parametrize("status", STATUSES)
async def test_a_status_that_envoy_does_not_put_right_is_seen(
    status: int, rendered: Any, usual: Any, tmp_path: Path
) -> None:
    carried_as = envoy_contract.TUNNELLED_STATUSES[status]
    text = json.dumps(rendered["native"]).replace(
        f'"default_value": {carried_as}', '"default_value": 499'
    )
    if status == journeys.REFUSED.status:
        became = await outcome({"native": json.loads(text)}, tmp_path)
        assert (
            became["native: refused"]["status"] == carried_as != usual["native: refused"]["status"]
        )
    else:
        assert text != json.dumps(rendered["native"])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HEALTH_REQUEST", b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"),
        ("HEALTH_RESPONSE", b"HTTP/1.1 299"),
    ],
)
async def test_a_health_check_in_other_words_fails(
    name: str, value: bytes, rendered: Any, tmp_path: Path
) -> None:
    words = {getattr(envoy_contract, name).hex(): value.hex()}
    became = await outcome({"native": put(rendered["native"], words)}, tmp_path)
    assert [each["healthy"] for each in became.values()] == [False] * len(became)


def test_methods_are_those_of_envoys_services() -> None:
    services = (
        (envoy_contract.CHECK_METHOD, ext_authz_pb2),
        (envoy_contract.PROCESS_METHOD, ext_proc_pb2),
        (envoy_contract.ACCESS_LOG_METHOD, access_log_pb2),
    )
    for path, module in services:
        (service,) = module.DESCRIPTOR.services_by_name.values()
        (method,) = service.methods
        assert path == f"/{service.full_name}/{method.name}"


def test_every_name_of_the_contract_is_tried() -> None:
    """A new one gets its test here."""
    others = {"TUNNELLED_STATUSES", "TOLD_PREFIXES", "REFUSAL_HEADERS", *HEALTH}
    methods = set(changed_contract.NOT_ENVOYS_TO_CHANGE)
    kinds = (str, bytes, tuple, MappingProxyType)
    found = {
        name
        for name, value in vars(envoy_contract).items()
        if re.fullmatch("[A-Z][A-Z_]*", name) and isinstance(value, kinds)
    }
    assert found == set(WORDS) | others | methods


OF_OUR_ROOMS = {"RESERVATION", "EDITS", "TARGET", "HIDE", "HELD", "METERED", "SETTLED"}
"""Words that stand for other things as well, but for the rooms that talk with Envoy."""
OF_MANY_MEANINGS = {
    "CHANGED",
    "HIDDEN",
    "KEY_CHECK",
    "KEY_CHECK_EXTENSION",
    "EXT_PROC_NAMESPACE",
    "READ_BY_EXT_PROC",
    "UPSTREAM_PATH",
}
"""Words that stand for other things there, too: `1`, `key`, `tollgate`, `path`."""


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """A module's texts with their lines, but for those that nobody reads: docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    idle = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and id(node) not in idle:
            if isinstance(node.value, str):
                yield node.lineno, node.value
            elif isinstance(node.value, bytes):
                yield node.lineno, node.value.decode("latin-1")


def test_no_word_of_the_contract_stands_twice() -> None:
    """Elsewhere in the package, as a whole text; of Envoy's filters not even as a part of one."""
    anywhere = {OURS[name] for name in set(WORDS) - OF_OUR_ROOMS - OF_MANY_MEANINGS}
    in_our_rooms = anywhere | {OURS[name] for name in OF_OUR_ROOMS}
    part = re.compile("|".join(re.escape(OURS[n]) for n in ("AUTHZ_FILTER", "EXT_PROC_FILTER")))
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        place = path.relative_to(PACKAGE).as_posix()
        if place == "core/envoy_contract.py" or place.startswith("pb/"):
            continue
        talks = place.startswith(("adapters/envoy/", "envoy_config/"))
        taken = in_our_rooms if talks else anywhere
        found += [
            (place, line, text) for line, text in texts(path) if text in taken or part.search(text)
        ]
    for path in sorted((PACKAGE / "envoy_config" / "lua").glob("*.lua")):
        quoted = re.findall(r'"([^"\n]*)"', path.read_text(encoding="utf-8"))
        found += [(path.name, 0, text) for text in quoted if text in in_our_rooms]
    assert not found, found


def test_a_placeholder_without_a_word_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lua would run with the placeholder's own name instead."""
    (tmp_path / "odd.lua").write_text('local said = get("$NOBODY")')
    (tmp_path / "open.lua").write_text('local said = get("$")')
    monkeypatch.setattr(literals, "_LUA", tmp_path)
    with pytest.raises(KeyError, match="NOBODY"):
        literals.lua_source("odd")
    with pytest.raises(ValueError, match="placeholder"):
        literals.lua_source("open")

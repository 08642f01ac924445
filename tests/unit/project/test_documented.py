"""What a user can set, see or run is documented, so that no page rots silently."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from tollgate import __version__
from tollgate.settings import TollgateSettings

ROOT = Path(__file__).parents[3]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SETTINGS = (ROOT / "docs/settings.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", TollgateSettings.model_fields)
def test_every_setting_is_documented(name: str) -> None:
    """In docs/settings.md; and it says what it is for where it is declared."""
    assert f"`{name}`" in SETTINGS
    assert name in ("host", "port") or TollgateSettings.model_fields[name].description


def test_every_dependency_has_its_reason() -> None:
    """The README's table names each package that is installed for a user."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = [re.split(r"[=\[;]", each)[0] for each in project["dependencies"]]
    table = README.partition("| Dependency | Why |")[2]
    assert [
        name for name in names if not re.search(rf"(\| |, ){re.escape(name)}(,| \|)", table)
    ] == []


def test_the_distribution_says_what_it_is() -> None:
    """Under its own name, licensed, typed; the version is told once in the code and once in the
    metadata.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert (project["name"], project["license"], project["version"]) == (
        "envoy-tollgate",
        "Apache-2.0",
        __version__,
    )
    assert "Apache License" in (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert (ROOT / "plugin/tollgate/py.typed").exists()
    assert project["scripts"] == {"tollgate": "tollgate.commands.main:app"}


def test_every_threat_is_shown_by_a_test_that_there_is() -> None:
    """SECURITY.md names tests as `folder/file.py::name`."""
    named = re.findall(r"`([\w/]+\.py)::(\w+)`", (ROOT / "SECURITY.md").read_text(encoding="utf-8"))
    gone = [
        (path, name)
        for path, name in named
        if not (ROOT / "tests" / path).exists()
        or f"def {name}(" not in (ROOT / "tests" / path).read_text(encoding="utf-8")
    ]
    assert (len(named) > 40, gone) == (True, [])


DOCUMENTS = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
        ROOT / "tests/README.md",
        *(ROOT / "docs").rglob("*.md"),
    )
)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_what_a_document_points_to_is_there(name: str) -> None:
    """Its links, and the paths of this repository that it names."""
    text = (ROOT / name).read_text(encoding="utf-8")
    linked = re.findall(r"\]\(([^)#]+)\)", text)
    named = re.findall(r"`((?:tests|docs|envoy|plugin|proto)/[\w./-]+)`", text)
    package = re.findall(r"`((?:core|adapters|admission|metering|app|gateway)/[\w./-]+)`", text)
    places = [each for each in linked if "://" not in each]
    gone = [each for each in places if not (ROOT / name).parent.joinpath(each).exists()]
    gone += [each for each in named if not (ROOT / each).exists()]
    gone += [each for each in package if not (ROOT / "plugin/tollgate" / each).exists()]
    assert gone == []


def test_the_arithmetic_that_a_document_shows_is_right() -> None:
    """Sums of `units x rate` in docs/money.md, and the dollars that they are."""
    text = (ROOT / "docs/money.md").read_text(encoding="utf-8")
    sums = re.findall(r"^ {4}(.+) = ([\d,]+) nano-dollars = \$([\d.]+)$", text, re.MULTILINE)
    wrong = []
    for terms, total, dollars in sums:
        units = [each.replace(",", "").split(" x ") for each in terms.split(" + ")]
        nanousd = sum(int(count) * int(rate) for count, rate in units)
        if (f"{nanousd:,}", nanousd) != (total, round(float(dollars) * 1_000_000_000)):
            wrong.append(terms)
    assert (len(sums), wrong) == (4, [])


def test_every_decision_is_listed() -> None:
    """docs/decisions/README.md links each page beside it."""
    folder = ROOT / "docs/decisions"
    pages = {path.name for path in folder.glob("*.md")} - {"README.md"}
    listed = re.findall(r"\]\(([\w-]+\.md)\)", (folder / "README.md").read_text(encoding="utf-8"))
    assert sorted(listed) == sorted(pages)


def test_every_make_target_is_explained() -> None:
    """In the README or at the head of the Makefile."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert targets is not None
    assert [each for each in targets[1].split() if f"make {each}" not in README + makefile] == []


CITING = [
    path
    for folder in ("plugin/tollgate", "tests", "proto", "envoy")
    for path in sorted((ROOT / folder).rglob("*"))
    if path.suffix in {".py", ".lua", ".yaml", ".md", ".proto"} and "pb" not in path.parts
]
MODULES = {path.name for path in CITING} | {"__init__.py"}


def test_every_file_that_a_comment_names_is_in_the_repository() -> None:
    """By its path below a folder of ours, or by its bare name; `module.lua(` is a call."""
    gone = []
    for path in CITING:
        for named in re.findall(
            r"[ (`]((?:core|adapters|envoy_config|tests)/[\w/]+\.\w+|\w+\.lua)\b(?!\()",
            path.read_text(),
        ):
            places = [ROOT / named, ROOT / "plugin/tollgate" / named, ROOT / "envoy" / named]
            if not any(place.exists() for place in places) and named not in MODULES:
                gone.append((path.relative_to(ROOT).as_posix(), named))
    assert gone == []


def test_no_file_holds_the_marks_of_a_conflict() -> None:
    """Of two versions, one was chosen."""
    texts = [*CITING, *ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    assert [
        path.name for path in texts if re.search(r"^(<{7}|>{7}) ", path.read_text(), re.M)
    ] == []

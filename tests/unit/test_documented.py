"""What a user can set, see or run is in the README, so that it cannot rot silently."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from tollgate.settings import TollgateSettings

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", TollgateSettings.model_fields)
def test_every_setting_is_in_the_readme(name: str) -> None:
    """And says what it is for where it is declared."""
    assert f"`{name}`" in README
    assert name in ("host", "port") or TollgateSettings.model_fields[name].description


def test_every_dependency_has_its_reason() -> None:
    """The README's table names each package that is installed for a user."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = [re.split(r"[=\[;]", each)[0] for each in project["dependencies"]]
    table = README.partition("| Dependency | Why |")[2]
    assert [name for name in names if not re.search(rf"(\| |, ){re.escape(name)}(,| \|)", table)] == []


def test_every_make_target_is_explained() -> None:
    """In the README or at the head of the Makefile."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert targets is not None
    assert [each for each in targets[1].split() if f"make {each}" not in README + makefile] == []

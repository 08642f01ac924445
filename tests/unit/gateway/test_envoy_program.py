"""Which Envoy a binary is, by what it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tollgate.core.errors import SettingsError
from tollgate.gateway.envoy_program import find_version
from tollgate.gateway.supervisor import Programs


def saying(folder: Path, words: str) -> str:
    """A program that prints this."""
    program = folder / "E"
    program.write_text(f"#!/bin/sh\necho '{words}'\n")
    program.chmod(0o700)
    return str(program)


@pytest.mark.parametrize("version", ["1.36.4", "1.4.0", "0.99.9"])
def test_an_envoy_that_is_too_old_is_named_with_what_is_needed(
    tmp_path: Path, version: str
) -> None:
    program = saying(
        tmp_path, f"/usr/bin/envoy  version: 0123abc/{version}/Clean/RELEASE/BoringSSL"
    )
    with pytest.raises(
        SettingsError, match=f"^{program} is Envoy {version}; 1.37 or later is needed$"
    ):
        find_version(program)


@pytest.mark.parametrize(
    ("version", "rendered_for"),
    [
        ("1.37.0", "1.37"),
        ("1.39.3", "1.39"),
        ("1.40.0", "1.40"),
        ("1.41.2", "1.40"),
        ("2.0.0", "1.40"),
        ("1.40.0-dev", "1.40"),
    ],
)
def test_an_envoy_that_is_young_enough_gets_what_it_knows(
    tmp_path: Path, version: str, rendered_for: str
) -> None:
    said = f"envoy  version: 0123abc/{version}/Clean/RELEASE/BoringSSL"
    assert find_version(saying(tmp_path, said)) == rendered_for


def test_the_envoy_that_comes_with_us_passes() -> None:
    assert find_version(*Programs().envoy) == "1.40"


def test_what_is_no_envoy_is_refused_by_name(tmp_path: Path) -> None:
    program = saying(tmp_path, "nginx version: nginx/1.27")
    with pytest.raises(SettingsError, match="does not identify itself as Envoy"):
        find_version(program)


def test_a_program_that_is_not_there_is_refused_by_name() -> None:
    with pytest.raises(SettingsError, match=r"^/nonexistent/envoy: No such file"):
        find_version("/nonexistent/envoy")

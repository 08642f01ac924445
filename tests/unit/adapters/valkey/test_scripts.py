"""The scripts as they are printed."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from tollgate.adapters.valkey.counters import scripts
from tollgate.commands.main import app


@pytest.mark.parametrize("operation", scripts.OPERATIONS)
def test_a_printed_script_is_what_the_store_runs(operation: str) -> None:
    """With every constant in its place."""
    result = CliRunner().invoke(app, ["script", operation])
    source = getattr(scripts, operation.upper()).source.decode()
    assert result.output == f"{source}\n"
    assert "$" not in source


def test_a_script_that_there_is_not_is_named() -> None:
    """With those that there are."""
    result = CliRunner().invoke(app, ["script", "refund"])
    assert result.exit_code == 1

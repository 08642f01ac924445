"""What `tollgate doctor` prints, and with which status it ends, where no gateway answers."""

from __future__ import annotations

import json
import socket

from typer.testing import CliRunner

from tollgate.commands.main import app


def nowhere() -> str:
    """An address at which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


def test_a_fault_is_a_table_its_mending_and_status_1() -> None:
    done = CliRunner().invoke(app, ["doctor", nowhere(), "--quick"], env={"COLUMNS": "200"})
    lines = done.output.splitlines()
    assert done.exit_code == 1
    assert lines[0].split() == ["check", "result", "what", "was", "seen"]
    assert lines[1].split()[:2] == ["reach", "fault"]
    assert lines[-1].startswith("reach")


def test_json_is_a_list_of_findings_and_nothing_else() -> None:
    done = CliRunner().invoke(app, ["doctor", nowhere(), "--json"])
    (found,) = json.loads(done.output)
    assert (found["check"], found["result"], set(found)) == (
        "reach",
        "fault",
        {"check", "result", "seen", "fix"},
    )

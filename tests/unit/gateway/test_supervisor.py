"""What `tollgate up` starts, by its plan, and how parts are run."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import pytest
from tests.valkeys import valkey_server

from tollgate import settings
from tollgate.core.errors import SettingsError
from tollgate.gateway import running, supervisor
from tollgate.gateway.part import Part
from tollgate.settings.edge_settings import TlsSettings


@pytest.mark.parametrize(("mode", "told"), [("grpc", False), ("native", True)])
def test_workers_are_told_that_envoy_is_in_native_mode(
    tmp_path: Path, mode: str, told: bool
) -> None:
    """The file may say another mode than the command line does, so they cannot read it there."""
    file = tmp_path / "file.yaml"
    file.write_text(f"tollgate: {{mode: {mode}, port: 0, workers: 2, state_dir: '{tmp_path}'}}")
    with supervisor.gateway(settings.load(file), file) as plan:
        workers = [
            part for stage in plan.stages for part in stage if part.name.startswith("worker")
        ]
    assert ["--native" in part.argv for part in workers] == [told, told]


@pytest.mark.parametrize(
    ("cores", "asked", "together", "standing_in"),
    [
        (1, "null", 1, 1),
        (2, "null", 1, 1),
        (4, "null", 2, 0),
        (9, "null", 4, 0),
        (2, "1", 1, 0),
        (2, "3", 3, 0),
    ],
)
def test_there_is_one_worker_for_two_cores_and_a_lone_one_has_a_stand_in(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    cores: int,
    asked: str,
    together: int,
    standing_in: int,
) -> None:
    """Envoy takes as much as they do. Whoever asks for a number gets that."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)))
    file = tmp_path / "file.yaml"
    file.write_text(
        f"tollgate: {{mode: native, port: 0, workers: {asked}, state_dir: '{tmp_path}'}}"
    )
    with supervisor.gateway(settings.load(file), file) as plan:
        workers = [
            part for stage in plan.stages for part in stage if part.name.startswith("worker-")
        ]
        (envoy,) = plan.stages[-1]
        clusters = json.loads(Path(envoy.argv[envoy.argv.index("-c") + 1]).read_text())[
            "static_resources"
        ]["clusters"]
    assert [part.note != "" for part in workers] == [False] * together + [True] * standing_in
    for cluster in clusters[:2]:
        first, *second = cluster["load_assignment"]["endpoints"]
        assert len(first["lb_endpoints"]) == together
        assert [(each["priority"], len(each["lb_endpoints"])) for each in second] == [
            (1, 1)
        ] * standing_in


@pytest.mark.parametrize(("grpc", "expected"), [("127.0.0.1:0", 2), ("unix:{}/grpc.sock", 1)])
def test_beside_an_envoy_of_ones_own_the_stand_in_shares_a_port_and_a_path_has_one_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, grpc: str, expected: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    file = tmp_path / "file.yaml"
    others = "serve_native: '127.0.0.1:0', serve_http: '127.0.0.1:0'"
    file.write_text(
        f"tollgate: {{serve_grpc: '{grpc.format(tmp_path)}', {others}, state_dir: '{tmp_path}'}}"
    )
    with supervisor.sidecar(settings.load(file), file) as plan:
        names = [
            part.name for stage in plan.stages for part in stage if part.name.startswith("worker-")
        ]
    assert len(names) == expected


SERVES = "import time; print('ready', flush=True); time.sleep(60)"


def python(name: str, program: str) -> Part:
    return Part(name, (sys.executable, "-c", program), {})


def test_a_plan_runs_until_a_part_has_ended() -> None:
    """Then the others are stopped, and why is told."""
    said: list[str] = []
    plan = supervisor.Plan(
        ((python("first", SERVES),), (python("last", "print('ready', flush=True)"),)), "all of it"
    )
    assert running.run(plan, said.append) == "last ended with exit code 0"
    assert said == ["first     ready", "last      ready", "all of it"]


def test_a_part_that_does_not_start_is_told() -> None:
    plan = supervisor.Plan(((python("first", "raise SystemExit(3)"),),), "never")
    assert running.run(plan, lambda _: None) == "first ended with exit code 3"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_plan_in_order(number: signal.Signals) -> None:
    """That is no failure."""
    said: list[str] = []

    def say(line: str) -> None:
        said.append(line)
        if line == "ready":
            os.kill(os.getpid(), number)

    assert running.run(supervisor.Plan(((python("first", SERVES),),), "ready"), say) is None
    assert said[-1].startswith("stopping")


def test_a_store_that_cannot_be_used_ends_a_plan_before_anything_starts(tmp_path: Path) -> None:
    with valkey_server(tmp_path, "--requirepass", "right") as path:
        plan = supervisor.Plan(((python("first", SERVES),),), "never", f"unix://{path}")
        failure = running.run(plan, lambda _: None)
    assert failure is not None
    assert "does not let us in without a password" in failure


def test_who_waits_for_a_store_can_be_told_to_stop(tmp_path: Path) -> None:
    """No part has started."""
    said: list[str] = []

    def say(line: str) -> None:
        said.append(line)
        if line.startswith("waiting for the store"):
            os.kill(os.getpid(), signal.SIGTERM)

    plan = supervisor.Plan(((python("first", SERVES),),), "never", f"unix://{tmp_path}/none")
    assert running.run(plan, say) is None
    assert [line.split()[0] for line in said] == ["waiting", "stopping:"]


@pytest.mark.parametrize("url", ["foo", "http://h:1", "redis://h:port"])
def test_a_store_that_has_no_url_is_refused_before_anything_is_taken(
    tmp_path: Path, url: str
) -> None:
    file = tmp_path / "file.yaml"
    file.write_text(f"tollgate: {{port: 0, redis_url: '{url}'}}")
    with (
        pytest.raises(SettingsError, match="the store's URL"),
        supervisor.gateway(settings.load(file), file),
    ):
        pass


@pytest.mark.parametrize("lacking", ["certificate", "key", "client_ca"])
def test_a_file_of_tls_that_cannot_be_read_is_named(tmp_path: Path, lacking: str) -> None:
    """Before anything is started."""
    files = {name: tmp_path / f"{name}.pem" for name in ("certificate", "key", "client_ca")}
    for name, file in files.items():
        if name != lacking:
            file.write_text("PEM")
    tls = TlsSettings(**files)
    assert (
        tls.unreadable() == f"tollgate.tls.{lacking}: {files[lacking]}: No such file or directory"
    )

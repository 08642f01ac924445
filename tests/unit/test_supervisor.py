"""What `tollgate up` starts, by its plan, and how parts are run."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tollgate import settings, supervisor


@pytest.mark.parametrize(("mode", "told"), [("grpc", False), ("native", True)])
def test_workers_are_told_that_envoy_is_in_native_mode(tmp_path: Path, mode: str, told: bool) -> None:
    """The file may say another mode than the command line does, so they cannot read it there."""
    file = tmp_path / "file.yaml"
    file.write_text(f"tollgate: {{mode: {mode}, port: 0, workers: 2, state_dir: '{tmp_path}'}}")
    with supervisor.gateway(settings.load(file), file) as plan:
        workers = [part for stage in plan.stages for part in stage if part.name.startswith("worker")]
    assert ["--native" in part.argv for part in workers] == [told, told]


@pytest.mark.parametrize(
    ("cores", "asked", "together", "standing_in"),
    [(1, "null", 1, 1), (2, "null", 1, 1), (4, "null", 2, 0), (9, "null", 4, 0), (2, "1", 1, 0), (2, "3", 3, 0)],
)
def test_there_is_one_worker_for_two_cores_and_a_lone_one_has_a_stand_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cores: int, asked: str, together: int, standing_in: int
) -> None:
    """Envoy takes as much as they do. Whoever asks for a number gets that."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)))
    file = tmp_path / "file.yaml"
    file.write_text(f"tollgate: {{mode: native, port: 0, workers: {asked}, state_dir: '{tmp_path}'}}")
    with supervisor.gateway(settings.load(file), file) as plan:
        workers = [part for stage in plan.stages for part in stage if part.name.startswith("worker-")]
        (envoy,) = plan.stages[-1]
        clusters = json.loads(Path(envoy.argv[envoy.argv.index("-c") + 1]).read_text())["static_resources"]["clusters"]
    assert [part.note != "" for part in workers] == [False] * together + [True] * standing_in
    for cluster in clusters[:2]:
        first, *second = cluster["load_assignment"]["endpoints"]
        assert len(first["lb_endpoints"]) == together
        assert [(each["priority"], len(each["lb_endpoints"])) for each in second] == [(1, 1)] * standing_in


@pytest.mark.parametrize(("grpc", "expected"), [("127.0.0.1:0", 2), ("unix:{}/grpc.sock", 1)])
def test_beside_an_envoy_of_ones_own_the_stand_in_shares_a_port_and_a_path_has_one_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, grpc: str, expected: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    file = tmp_path / "file.yaml"
    others = "serve_native: '127.0.0.1:0', serve_http: '127.0.0.1:0'"
    file.write_text(f"tollgate: {{serve_grpc: '{grpc.format(tmp_path)}', {others}, state_dir: '{tmp_path}'}}")
    with supervisor.sidecar(settings.load(file), file) as plan:
        names = [part.name for stage in plan.stages for part in stage if part.name.startswith("worker-")]
    assert len(names) == expected

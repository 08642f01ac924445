"""What `tollgate up` starts, by its plan, and how parts are run."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tollgate import settings, supervisor
from tollgate.processes import Part, Processes


@pytest.mark.parametrize(("mode", "told"), [("grpc", False), ("native", True)])
def test_workers_are_told_that_envoy_is_in_native_mode(tmp_path: Path, mode: str, told: bool) -> None:
    """The file may say another mode than the command line does, so they cannot read it there."""
    file = tmp_path / "file.yaml"
    file.write_text(f"tollgate: {{mode: {mode}, port: 0, workers: 2, state_dir: '{tmp_path}'}}")
    with supervisor.gateway(settings.load(file), file) as plan:
        workers = [part for stage in plan.stages for part in stage if part.name.startswith("worker")]
    assert ["--native" in part.argv for part in workers] == [told, told]


def test_store_and_workers_wait_for_their_turn_and_envoy_does_not(tmp_path: Path) -> None:
    file = tmp_path / "file.yaml"
    file.write_text(f"tollgate: {{port: 0, workers: 1, state_dir: '{tmp_path}'}}")
    with supervisor.gateway(settings.load(file), file) as plan:
        patient = {part.name: part.patient for stage in plan.stages for part in stage}
    assert patient == {"valkey": True, "worker-0": True, "admin": True, "envoy": False}


@pytest.mark.skipif(not hasattr(os, "SCHED_BATCH"), reason="the policy is Linux's")
@pytest.mark.parametrize("patient", [True, False])
async def test_a_patient_part_runs_under_the_batch_policy(patient: bool) -> None:
    told: list[str] = []
    program = "import os, sys; print('ready'); sys.exit(os.sched_getscheduler(0))"
    part = Part("part", (sys.executable, "-c", program), os.environ, patient=patient)
    processes = Processes([[part]], told.append)
    await processes.start()
    assert str(await processes.failure()) == f"part ended with exit code {os.SCHED_BATCH if patient else 0}"
    await processes.stop()

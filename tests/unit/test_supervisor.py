"""What `tollgate up` starts, by its plan: nothing is run."""

from __future__ import annotations

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

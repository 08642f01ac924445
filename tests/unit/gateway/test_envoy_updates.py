"""How an Envoy beside `tollgate serve` is told of changes, by the settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from tollgate.core.errors import SettingsError
from tollgate.gateway.envoy_updates import told_beside_serve
from tollgate.settings import load


def told(folder: Path, ours: str) -> list[str]:
    """The files that are written, before anything starts."""
    file = folder / "file.yaml"
    folder.mkdir(exist_ok=True)
    file.write_text(f"tollgate: {{{ours.replace('FOLDER', str(folder))}}}")
    found = told_beside_serve(load(file), {}, folder)
    return [] if found is None else [each.name for each in folder.glob("*/*.pb")]


def test_nothing_is_written_where_nobody_reads_it(tmp_path: Path) -> None:
    assert told(tmp_path, "") == []
    steps = ["after.clusters.pb", "after.routes.pb", "clusters.pb", "routes.pb"]
    assert sorted(told(tmp_path / "files", "xds: files, xds_folder: FOLDER/xds")) == steps
    assert sorted(told(tmp_path / "ads", "xds: ads")) == [*steps, "secrets.pb"]


@pytest.mark.parametrize(
    ("ours", "fault"),
    [
        ("xds: files", "needs a folder"),
        ("xds: files, xds_folder: /proc/none", "xds_folder: /proc/none"),
        ("xds: ads, serve_grpc: '0.0.0.0:4001'", "serve_grpc_client_ca"),
        ("xds: ads, serve_grpc: 'tollgate:4001'", "serve_grpc_client_ca"),
    ],
)
def test_what_could_not_work_or_would_give_keys_away_is_refused(
    tmp_path: Path, ours: str, fault: str
) -> None:
    """Before anything starts, by name."""
    with pytest.raises(SettingsError, match=fault):
        told(tmp_path, ours)

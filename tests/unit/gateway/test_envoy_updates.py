"""How an Envoy beside `tollgate serve` is told of changes, by the settings."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tollgate.core.errors import NotYet, SettingsError
from tollgate.gateway import envoy_updates
from tollgate.gateway.envoy_updates import AdminTells, told_beside_serve
from tollgate.settings import load
from tollgate.topology import Address


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


@asynccontextmanager
async def admin_interface(path: Path, told: list[str]) -> AsyncIterator[Address]:
    """An Envoy's admin interface, which tells these statistics."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write("\n".join(["HTTP/1.1 200 OK", "", *told]).encode())
        writer.close()

    server = await asyncio.start_unix_server(answer, path)
    try:
        yield Address(path=str(path))
    finally:
        server.close()
        await server.wait_closed()


async def test_what_envoy_has_not_taken_in_time_may_be_taken_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A busy machine is no fault of the configuration; a version that Envoy refuses is one."""
    monkeypatch.setattr(envoy_updates, "_TAKEN_S", 0.05)
    told = ['cluster_manager.cds.version_text: "1"', "cluster_manager.cds.update_rejected: 3"]
    async with admin_interface(tmp_path / "admin.sock", told) as address:
        envoy = AdminTells(address)
        await envoy.before()
        await envoy.taken("1")
        with pytest.raises(NotYet, match="not taken it in within"):
            await envoy.taken("2")
        told[1] = "cluster_manager.cds.update_rejected: 4"
        with pytest.raises(SettingsError, match="Envoy refuses what was made of it") as refused:
            await envoy.taken("2")
        assert not isinstance(refused.value, NotYet)


async def test_an_admin_interface_that_is_busy_makes_no_refusal_of_an_old_one(
    tmp_path: Path,
) -> None:
    """What Envoy had refused before is known from the change before."""
    told = ['cluster_manager.cds.version_text: "1"', "cluster_manager.cds.update_rejected: 3"]
    path = tmp_path / "admin.sock"
    async with admin_interface(path, told) as address:
        envoy = AdminTells(address)
        await envoy.before()
    path.unlink()
    await envoy.before()
    async with admin_interface(path, told):
        await envoy.taken("1")

"""Envoy's configuration from a child process: as it is, or why not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tollgate.core.errors import SettingsError
from tollgate.envoy_config import bootstrap as building
from tollgate.gateway import rendering
from tollgate.settings import EXAMPLE_FILE, load
from tollgate.topology import Address, Discovery, Topology, encoded_form

TOPOLOGY = Topology(
    listen=Address(host="127.0.0.1", port=4000),
    workers=(Address(path="/w"),),
    admin=Address(path="/a"),
    mock=Address(path="/m"),
    workers_http=(Address(path="/h"),),
)


def test_a_file_holds_what_is_rendered(tmp_path: Path) -> None:
    """Whoever renders it."""
    file, settings = tmp_path / "envoy.json", load(EXAMPLE_FILE)
    rendering.write_bootstrap(file, settings, TOPOLOGY)
    assert json.loads(file.read_text()) == json.loads(
        json.dumps(building.bootstrap(settings, TOPOLOGY))
    )


def test_a_fault_of_the_settings_is_told_in_its_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if it had been raised here."""

    def refuse(*_: object) -> None:
        raise SettingsError("no such thing")

    monkeypatch.setattr(building, "bootstrap", refuse)
    with pytest.raises(SettingsError, match=r"^no such thing$"):
        rendering.write_bootstrap(tmp_path / "envoy.json", load(EXAMPLE_FILE), TOPOLOGY)


def test_what_nobody_foresaw_is_no_configuration(tmp_path: Path) -> None:
    """Envoy is not started on half a file."""
    with pytest.raises(SettingsError, match="could not be written"):
        rendering.write_bootstrap(tmp_path / "nowhere" / "envoy.json", load(EXAMPLE_FILE), TOPOLOGY)


def test_a_gateway_that_starts_again_keeps_what_its_envoy_still_serves(tmp_path: Path) -> None:
    """Calls in flight, and models of the store, which are read later. A damaged file is no file."""
    topology = replace(TOPOLOGY, discovery=Discovery(str(tmp_path), {}))
    assert topology.discovery is not None

    def routes(*models: str) -> str:
        entries = ",".join(
            f"{{model_name: {each}, litellm_params: {{model: openai/x}}}}" for each in models
        )
        (tmp_path / "file.yaml").write_text(f"model_list: [{entries}]")
        rendering.write_first(load(tmp_path / "file.yaml"), topology)
        assert topology.discovery is not None
        return Path(topology.discovery.routes).read_text()

    assert "tollgate/deployment/first" in routes("first")
    both = routes("second")
    assert "tollgate/deployment/first" in both
    assert "tollgate/deployment/second" in both
    after = rendering.step_file(topology.discovery.routes, rendering.AFTER).read_text()
    assert "tollgate/deployment/first" not in after
    Path(encoded_form(topology.discovery.routes)).write_text("\0")
    assert "tollgate/deployment/second" in routes("second")
    Path(topology.discovery.clusters).write_text("{")
    assert "tollgate/deployment/first" not in routes("second")

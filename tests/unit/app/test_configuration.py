"""How a process takes in a changed configuration."""

from __future__ import annotations

from pathlib import Path

import yaml

from tollgate.app.configuration import KEPT_S, Configuration, Priced
from tollgate.core.models.probe_model import PROBE
from tollgate.core.requests.catalog import Catalog
from tollgate.settings import Settings, load
from tollgate.snapshot import CONFIGURED, NOT_CONFIGURED, Snapshot


def document(*models: str, **ours: object) -> dict[str, object]:
    """A file of some models."""
    return {
        "model_list": [
            {
                "model_name": each,
                "litellm_params": {"model": f"openai/{each}", "api_base": "http://x"},
            }
            for each in models
        ],
        "tollgate": ours,
    }


class Process:
    """A process with a configuration, and the models that its two halves know."""

    def __init__(self, folder: Path) -> None:
        self.snapshot = Snapshot(folder)
        self.propose("first")
        self.snapshot.accept()
        self.admits: list[set[str]] = []
        self.settles: list[set[str]] = []
        settings = load(self.snapshot.in_force)
        self.now_s = 0.0
        self.configuration = Configuration(
            settings, Priced.by(settings), self.admit_by, self.settle_by, lambda: self.now_s
        )

    def propose(self, *models: str, **ours: object) -> None:
        self.snapshot.propose(document(*models, **ours))

    def admit_by(self, settings: Settings, catalog: Catalog) -> None:
        assert {each.model_name for each in settings.deployments} == set(catalog.models)
        self.admits.append(set(catalog.models))

    def settle_by(self, _: Settings, catalog: Catalog) -> None:
        self.settles.append(set(catalog.by_id) - {PROBE.id})


async def test_what_comes_is_settled_before_it_is_admitted_and_what_went_for_a_day(
    tmp_path: Path,
) -> None:
    """Another process may admit its calls first, and calls of what was removed are in flight."""
    process = Process(tmp_path)
    process.propose("second")
    assert await process.configuration.take_in(process.snapshot) == CONFIGURED
    assert process.settles == [{"first", "second"}]
    process.snapshot.accept()
    assert await process.configuration.take_in(process.snapshot) == CONFIGURED
    assert process.admits[-1] == {"second"}
    process.propose("third")
    process.snapshot.accept()
    assert await process.configuration.take_in(process.snapshot) == CONFIGURED
    assert process.admits[-1] == {"third"}
    assert process.settles[-1] == {"first", "second", "third"}


async def test_what_was_removed_is_forgotten_a_day_after_its_removal(tmp_path: Path) -> None:
    """However long it was in force: a gateway whose models change every hour keeps a day's."""
    process = Process(tmp_path)
    for model in ("second", "third", "fourth"):
        process.now_s += KEPT_S * 0.7
        process.propose(model)
        process.snapshot.accept()
        assert await process.configuration.take_in(process.snapshot) == CONFIGURED
    assert process.settles == [
        {"first", "second"},
        {"first", "second", "third"},
        {"second", "third", "fourth"},
    ]


async def test_what_cannot_be_taken_in_changes_nothing(tmp_path: Path) -> None:
    """The answer says why, in one line."""
    process = Process(tmp_path)
    process.propose("second", price_file="/nowhere")
    answer = await process.configuration.take_in(process.snapshot)
    assert answer.startswith(f"{NOT_CONFIGURED}: cannot read the price file /nowhere")
    assert (process.admits, process.settles) == ([], [])


def test_a_snapshot_keeps_the_faults_of_a_refused_change_until_the_next(tmp_path: Path) -> None:
    """And is its owner's alone: a file may hold keys."""
    snapshot = Snapshot(tmp_path)
    snapshot.propose({"model_list": []})
    assert oct(snapshot.coming.stat().st_mode & 0o777) == "0o600"
    snapshot.refuse("one\ntwo")
    assert (snapshot.refused_faults(), snapshot.coming.exists()) == (["one", "two"], False)
    snapshot.propose({"model_list": [{"model_name": "m"}]})
    snapshot.accept()
    assert snapshot.refused_faults() == []
    assert yaml.safe_load(snapshot.in_force.read_text()) == {"model_list": [{"model_name": "m"}]}

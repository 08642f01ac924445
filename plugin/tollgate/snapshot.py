"""The configuration as the processes of a running gateway read it, in a folder of the gateway's.

The user's file may change at any time, and may be wrong; what stands here has been accepted.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml

# libyaml's, which is several times as fast.
_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)

CONFIGURED, NOT_CONFIGURED = "configured", "not configured"
"""What a process prints once it has been told (SIGHUP) that these files have changed."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The files.

    `in_force`: by it calls are admitted. `coming`: its deployments are settled too, so that
    whichever process meets a call of one can charge it. `refused`: the faults of a change that was
    refused.
    """

    folder: Path

    @classmethod
    def beside(cls, in_force: Path) -> Snapshot:
        """The files beside that of the configuration in force."""
        return cls(in_force.parent)

    @property
    def in_force(self) -> Path:
        """The file of the configuration in force."""
        return self.folder / "configuration.yaml"

    @property
    def coming(self) -> Path:
        """The file of a configuration that is about to be in force; often there is none."""
        return self.folder / "coming.yaml"

    @property
    def added(self) -> Path:
        """The file of models that were added over the API."""
        return self.folder / "added.json"

    @property
    def refused(self) -> Path:
        """The file of what was wrong with the last change; none: nothing was."""
        return self.folder / "refused.txt"

    @property
    def handled(self) -> Path:
        """The file that tells which added models the last change contained, taken or refused."""
        return self.folder / "handled.txt"

    def propose(self, document: dict[str, Any]) -> None:
        """Write what is to come. A document is a configuration file with all that it includes."""
        self.coming.touch(mode=0o600)
        text = yaml.dump(document, Dumper=_DUMPER, sort_keys=False)
        self.coming.write_text(text, encoding="utf-8")

    def write_added(self, entries: list[dict[str, Any]]) -> None:
        """Write models that were added over the API, in one step; not what is there already."""
        text, held = json.dumps(entries), _text(self.added)
        if held == text or (held is None and not entries):
            return
        new = self.added.with_suffix(".new")
        new.touch(mode=0o600)
        new.write_text(text, encoding="utf-8")
        new.replace(self.added)

    def added_version(self) -> str:
        """Return a name for the content of the added models."""
        return sha256((_text(self.added) or "").encode()).hexdigest()

    def handle(self, version: str) -> None:
        """Tell that a version of the added models is in force, or refused."""
        new = self.handled.with_suffix(".new")
        new.write_text(version, encoding="utf-8")
        new.replace(self.handled)

    def handled_version(self) -> str | None:
        """Return the version that was handled last; None if nobody takes in changes."""
        return _text(self.handled)

    def with_added(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Return a document with those models behind its own."""
        entries = json.loads(_text(self.added) or "[]")
        models = document.get("model_list")
        if not entries or not isinstance(models, list | None):
            return dict(document)
        return {**document, "model_list": [*(models or ()), *entries]}

    def accept(self) -> None:
        """Let what was to come be in force."""
        self.coming.replace(self.in_force)
        self.refused.unlink(missing_ok=True)

    def forget(self) -> None:
        """Let nothing come."""
        self.coming.unlink(missing_ok=True)
        self.refused.unlink(missing_ok=True)

    def refuse(self, faults: str) -> None:
        """Let nothing come, and keep what was wrong with it."""
        self.coming.unlink(missing_ok=True)
        self.refused.write_text(faults, encoding="utf-8")

    def refused_faults(self) -> list[str]:
        """One line for each fault of the last change."""
        try:
            return self.refused.read_text(encoding="utf-8").splitlines()
        except OSError:
            return []


def _text(file: Path) -> str | None:
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None

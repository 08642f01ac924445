"""The configuration as the processes of a running gateway read it, in a folder of the gateway's.

The user's file may change at any time, and may be wrong; what stands here has been accepted.
"""

from __future__ import annotations

from dataclasses import dataclass
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
    def refused(self) -> Path:
        """The file of what was wrong with the last change; none: nothing was."""
        return self.folder / "refused.txt"

    def propose(self, document: dict[str, Any]) -> None:
        """Write what is to come. A document is a configuration file with all that it includes."""
        self.coming.touch(mode=0o600)
        text = yaml.dump(document, Dumper=_DUMPER, sort_keys=False)
        self.coming.write_text(text, encoding="utf-8")

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

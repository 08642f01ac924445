"""SDKs of other languages: programs in tests/sdks, with what they need installed once into the
virtual environment.

Each reads jobs as JSON and prints what the SDK's errors say, as text, in their order.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

_SOURCES = Path(__file__).parent.parent / "sdks"
_INSTALLED = Path(sys.prefix) / "sdks"

Job = Mapping[str, Any]


def _installed(language: str, tool: str, *commands: Sequence[str]) -> Path:
    """A folder with the program and what it needs, made when its files have changed.

    Skips where the tool or the registry is not there.
    """
    if shutil.which(tool) is None:
        pytest.skip(f"the {language} SDKs are not tested: {tool} is not installed")
    files = sorted(each for each in (_SOURCES / language).iterdir() if each.is_file())
    digest = sha256(b"".join(each.name.encode() + each.read_bytes() for each in files)).hexdigest()[
        :16
    ]
    folder = _INSTALLED / f"{language}-{digest}"
    if folder.exists():
        return folder
    building = _INSTALLED / f"{language}-{digest}.building"
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(parents=True)
    for each in files:
        shutil.copy(each, building)
    for command in commands:
        done = subprocess.run(command, cwd=building, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            pytest.skip(
                f"the {language} SDKs are not tested: {' '.join(command)} failed:"
                f" {done.stderr[-500:]}"
            )
    building.rename(folder)
    return folder


def javascript() -> list[str]:
    """The command that runs the JavaScript SDKs' jobs."""
    return ["node", str(_javascript_folder() / "refusals.mjs")]


def javascript_file(path: str) -> Path:
    """A file of a package of npm's, by the package's name and its path within."""
    return _javascript_folder() / "node_modules" / path


def _javascript_folder() -> Path:
    return _installed("js", "npm", ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"])


def go() -> list[str]:
    """The command that runs the Go SDK's jobs."""
    return [str(_installed("go", "go", ["go", "build", "-o", "refusals", "."]) / "refusals")]


async def run(command: Sequence[str], jobs: Sequence[Job]) -> list[str]:
    """What the SDKs said of each job."""
    process = await asyncio.create_subprocess_exec(
        *command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    told, complained = await process.communicate(json.dumps(jobs).encode())
    assert process.returncode == 0, complained.decode()
    said: list[str] = json.loads(told)
    return said

"""Envoy's configuration as files, for a process that goes on running."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tollgate.core.errors import SettingsError
from tollgate.settings import Settings
from tollgate.topology import SECRETS_FILE, Discovery, Topology, encoded_form

if TYPE_CHECKING:
    from tollgate.envoy_config.discovered import Discovered

_COMPLAINT = "complaint"
_WRITTEN, _REFUSED, _FAILED = range(3)
BETWEEN, AFTER = "between", "after"
"""Two steps of a change: Envoy serves what was and what comes; then what comes alone."""


def write_bootstrap(file: Path, settings: Settings, topology: Topology) -> None:
    """Write the file that Envoy starts with, in a child process. Raises SettingsError."""

    def write() -> None:
        from tollgate.envoy_config.bootstrap import bootstrap

        file.write_text(json.dumps(bootstrap(settings, topology)), encoding="utf-8")

    _check(os.waitpid(_in_child(file, write), 0)[1], file)


def write_first(settings: Settings, topology: Topology) -> None:
    """Write the files that Envoy watches, in a child process.

    If an earlier gateway has left files, its Envoy may still run: what it serves stays, until the
    step AFTER. Raises SettingsError.
    """
    discovery = _discovery_of(topology)
    complaint = Path(discovery.folder, _COMPLAINT)

    def write() -> None:
        from tollgate.envoy_config.discovered import Discovered
        from tollgate.envoy_config.listener.certificates import certificate_files

        for file, text in certificate_files(settings.tollgate, discovery).items():
            put(file, text)
        after, earlier = Discovered.of(settings, topology), _read_earlier(discovery)
        first = after if earlier is None else after.beside(earlier)
        _write(discovery, earlier, {"": first, AFTER: after})

    _check(os.waitpid(_in_child(complaint, write), 0)[1], complaint)


async def write_change(settings: Settings, topology: Topology) -> None:
    """Write what Envoy is to take instead of the files that it watches, in a child process.

    The files of each step stand beside the watched ones: step_file() names them. Raises
    SettingsError.
    """
    discovery = _discovery_of(topology)
    complaint = Path(discovery.folder, _COMPLAINT)

    def write() -> None:
        from tollgate.envoy_config.discovered import Discovered

        after = Discovered.of(settings, topology)
        earlier = Discovered.read(*(Path(each).read_bytes() for each in _watched(discovery)))
        _write(discovery, earlier, {BETWEEN: after.beside(earlier), AFTER: after})

    child = _in_child(complaint, write)
    # A large configuration takes a second, and the event loop goes on meanwhile.
    _check((await asyncio.to_thread(os.waitpid, child, 0))[1], complaint)


def step_file(watched: str, step: str) -> Path:
    """Return the file that is to take the place of a watched one in a step."""
    path = Path(watched)
    return path.with_name(f"{step}.{path.name}")


def put(watched: str, content: bytes) -> None:
    """Replace the content of a file at once: Envoy looks when one is moved to its place.

    Its owner alone may read a new one that has keys.
    """
    new = Path(f"{watched}.new")
    new.touch(mode=0o600 if watched.endswith(SECRETS_FILE) else 0o644)
    new.write_bytes(content)
    new.replace(watched)


def _discovery_of(topology: Topology) -> Discovery:
    assert topology.discovery is not None
    return topology.discovery


def _watched(discovery: Discovery) -> tuple[str, str]:
    return discovery.clusters, discovery.routes


def _write(
    discovery: Discovery, earlier: Discovered | None, steps: Mapping[str, Discovered]
) -> None:
    """Write the files of some steps: for us as JSON, and beside it as Envoy takes them.

    An empty step stands for the watched files themselves. `earlier`: what they held before.
    """
    from google.protobuf.message import DecodeError

    from tollgate.envoy_config.encoded import Encoder

    encoder = Encoder(by_ads=discovery.by_ads)
    if earlier is not None:
        # What an earlier gateway has left may be damaged: then all is encoded anew.
        with suppress(OSError, ValueError, DecodeError):
            encoder.learn(
                earlier, *(Path(encoded_form(each)).read_bytes() for each in _watched(discovery))
            )
    for step, found in steps.items():
        for watched, file in zip(_watched(discovery), found.files(), strict=True):
            path = str(step_file(watched, step)) if step else watched
            put(path, file.text)
            put(encoded_form(path), encoder.encoded_file(file))
    if discovery.by_ads:
        folder = Path(discovery.folder)
        put(str(folder / SECRETS_FILE), encoder.encoded_secrets(folder.glob("secret-*.json")))


def _read_earlier(discovery: Discovery) -> Discovered | None:
    """Return what an earlier gateway has written; None if it has not, or that cannot be read."""
    from tollgate.envoy_config.discovered import Discovered

    try:
        return Discovered.read(*(Path(each).read_bytes() for each in _watched(discovery)))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _in_child(complaint: Path, write: Callable[[], None]) -> int:
    """Do it in a child process, and return its id.

    The libraries that build the configuration take 12 MB, which a supervisor would keep for as long
    as it runs. `complaint`: the file for what is wrong with the settings.
    """
    child = os.fork()
    if child == 0:
        code = _FAILED
        # All that is built is needed to the end: looking for garbage took most of the time.
        gc.disable()
        try:
            code = _attempt(complaint, write)
        finally:  # the child must not continue as its parent
            os._exit(code)
    return child


def _check(status: int, complaint: Path) -> None:
    """Raise SettingsError unless the child has written its files."""
    code = os.waitstatus_to_exitcode(status)
    if code == _REFUSED:
        raise SettingsError(complaint.read_text(encoding="utf-8"))
    if code != _WRITTEN:
        raise SettingsError("Envoy's configuration could not be written")


def _attempt(complaint: Path, write: Callable[[], None]) -> int:
    try:
        write()
    except SettingsError as error:
        complaint.write_text(str(error), encoding="utf-8")
        return _REFUSED
    except Exception:  # noqa: BLE001 -- an outer edge: the child ends here
        traceback.print_exc()
        return _FAILED
    return _WRITTEN

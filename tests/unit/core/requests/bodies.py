"""Build request bodies."""

from __future__ import annotations

import json

CHAT = {"messages": [{"role": "user", "content": 'say "hi" {now} [ok]'}], "model": "gpt-4o"}


def raw(**members: object) -> bytes:
    return json.dumps({**CHAT, **members}).encode()

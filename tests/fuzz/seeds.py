"""Write the bodies of the usage tests as seeds: fuzzing finds more from what makes sense already."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.fuzz.fuzz_usage import NAMES, TYPES
from tests.unit.usage_anthropic import ANTHROPIC
from tests.unit.usage_bedrock import BEDROCK
from tests.unit.usage_compatible import CHAT_AND_TEXT
from tests.unit.usage_google import GEMINI
from tests.unit.usage_media import RESPONSES_AND_MEDIA
from tests.unit.usage_others import COHERE_AND_OLLAMA

LONGEST = 4_000
REPLIES = [*CHAT_AND_TEXT, *RESPONSES_AND_MEDIA, *ANTHROPIC, *GEMINI, *BEDROCK, *COHERE_AND_OLLAMA]
BODIES = [
    b'{"model":"gpt-4o","messages":[{"role":"user","content":"hi \\u00e9 \\"x\\""}],"stream":true,"n":2,"max_tokens":5,"user":"u"}',
    b' {"stream_options":{"include_obfuscation":true},"metadata":{"user_id":"u"},"model":"a","temperature":0.5,"stop":[[],{}]}\n',
]


def write(folder: Path) -> None:
    """One file a seed."""
    for name in ("usage", "body"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for number, case in enumerate(REPLIES):
        if len(case.body) < LONGEST and case.content_type in TYPES:
            head = bytes([NAMES.index(case.api), TYPES.index(case.content_type), 0, 7 * (number % 2), number % 4])
            (folder / "usage" / str(number)).write_bytes(head + case.body)
    for number, raw in enumerate(BODIES):
        (folder / "body" / str(number)).write_bytes(raw)


if __name__ == "__main__":
    write(Path(sys.argv[1]))

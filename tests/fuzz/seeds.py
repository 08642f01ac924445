"""Write the bodies of the usage tests as seeds: fuzzing finds more from what makes
sense already.
"""

from __future__ import annotations

import sys
from gzip import compress
from pathlib import Path

from tests.fuzz.fuzz_usage import NAMES, TYPES
from tests.unit.adapters.envoy.test_http2 import ask
from tests.unit.core.usage.usage_anthropic import ANTHROPIC
from tests.unit.core.usage.usage_bedrock import BEDROCK
from tests.unit.core.usage.usage_compatible import CHAT_AND_TEXT
from tests.unit.core.usage.usage_google import GEMINI
from tests.unit.core.usage.usage_media import RESPONSES_AND_MEDIA
from tests.unit.core.usage.usage_others import COHERE_AND_OLLAMA

from tollgate.adapters.envoy.grpc.frames import frame

LONGEST = 4_000
_MESSAGE = b"\0\0\0\0\3abc"
_PACKED = compress(b"abc")
# Frames of whole clients: streams with and without an end, windows that are too small, padding,
# compression.
CLIENTS = [
    [
        frame(4, 0, 0),
        ask(1, "/s"),
        frame(0, 0, 1, _MESSAGE * 3),
        frame(8, 0, 1, b"\0\0\1\0"),
        frame(3, 0, 1, b"\0\0\0\10"),
    ],
    [
        frame(4, 0, 0, b"\0\4\0\0\0\2"),
        ask(1, "/u"),
        frame(0, 1, 1, _MESSAGE),
        frame(8, 0, 1, b"\0\0\1\0"),
    ],
    [
        frame(4, 0, 0),
        frame(4, 1, 0),
        ask(1, "/u", grpc_encoding="gzip"),
        frame(0, 9, 1, b"\1\1" + len(_PACKED).to_bytes(4, "big") + _PACKED + b"\0"),
    ],
    [
        frame(4, 0, 0),
        ask(1, "/s", content_length="8"),
        ask(3, "/none"),
        frame(6, 0, 0, b"12345678"),
        frame(0, 1, 1, _MESSAGE),
    ],
]
REPLIES = [*CHAT_AND_TEXT, *RESPONSES_AND_MEDIA, *ANTHROPIC, *GEMINI, *BEDROCK, *COHERE_AND_OLLAMA]
BODIES = [
    (
        b'{"model":"gpt-4o","messages":[{"role":"user","content":"hi \\u00e9'
        b' \\"x\\""}],"stream":true,"n":2,"max_tokens":5,"user":"u"}'
    ),
    (
        b' {"stream_options":{"include_obfuscation":true},"metadata":{"user_id":"u"},'
        b'"model":"a","temperature":0.5,"stop":[[],{}]}\n'
    ),
    (
        b"--xYz\r\nContent-Disposition: form-data;"
        b' name="model"\r\n\r\nm\r\n--xYz\r\nContent-Disposition: form-data; name="file";'
        b' filename="a.mp3"\r\nContent-Type: audio/mpeg\r\n\r\n\0\r\n--xYz\r\ncontent-disposition:'
        b" form-data; name=user\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nu\r\n--xYz--\r\n"
    ),
]


def write(folder: Path) -> None:
    """One file a seed."""
    for name in ("usage", "body", "http2"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for number, case in enumerate(REPLIES):
        if len(case.body) < LONGEST and case.content_type in TYPES:
            head = bytes(
                [
                    NAMES.index(case.api),
                    TYPES.index(case.content_type),
                    0,
                    7 * (number % 2),
                    number % 4,
                ]
            )
            (folder / "usage" / str(number)).write_bytes(head + case.body)
    for number, raw in enumerate(BODIES):
        (folder / "body" / str(number)).write_bytes(raw)
    for number, frames in enumerate(CLIENTS):
        (folder / "http2" / str(number)).write_bytes(bytes([7 * number]) + b"".join(frames))


if __name__ == "__main__":
    write(Path(sys.argv[1]))

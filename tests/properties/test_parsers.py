"""Real parsers beside ours: of what we let pass, Go, Node and Python read nothing else than we do.

Each language is one process that reads all cases. Where its toolchain is missing, the summary of
the run says so.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tollgate.core.errors import BadRequest
from tollgate.core.requests import content as reading
from tollgate.core.requests.body import Body
from tollgate.core.requests.dialects import OPENAI_CHAT, OPENAI_TRANSCRIPTION

HERE = Path(__file__).with_name("parsers")
COMMANDS = {
    "go": ["go", "run", str(HERE / "main.go")],
    "node": ["node", str(HERE / "main.mjs")],
    "python": [sys.executable, str(HERE / "main.py")],
}
LONGEST_S = 300


@dataclass(frozen=True)
class Case:
    """A body; `content_type` where it is a form."""

    raw: bytes
    content_type: str | None = None


def read_by(language: str, cases: list[Case]) -> list[Any]:
    """What a language's own parsers read of each case; None: they refuse it."""
    command = COMMANDS[language]
    if shutil.which(command[0]) is None:
        pytest.skip(
            f"NO {command[0].upper()} ON THIS MACHINE: its parsers are not compared with ours"
        )
    lines = [
        json.dumps({"raw": b64encode(each.raw).decode(), "type": each.content_type})
        for each in cases
    ]
    done = subprocess.run(
        command, input="\n".join(lines) + "\n", capture_output=True, text=True, timeout=LONGEST_S
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def ours(case: Case) -> Body | None:
    """What we read; None: we refuse it."""
    dialect = OPENAI_CHAT if case.content_type is None else OPENAI_TRANSCRIPTION
    try:
        return reading.read(case.raw, case.content_type or "application/json", "", dialect)
    except BadRequest:
        return None


# --- JSON ---

RIGHT = [
    "model",
    "stream",
    "max_tokens",
    "n",
    "user",
    "metadata",
    "stream_options",
    "messages",
    "temperature",
    "x",
]
VALUES: dict[str, list[str]] = {
    "model": [
        '"cheap"',
        '"dear"',
        '"che\\u0061p"',
        '"模"',
        "null",
        "1",
        '""',
        '"a\\ud83d\\ude00"',
        '"\\ud800"',
    ],
    "stream": ["true", "false", "null", "1", '"true"'],
    "max_tokens": [
        "1",
        "100000",
        "-1",
        "-0",
        "1.0",
        "1e2",
        "1e400",
        "null",
        "01",
        "18446744073709551616",
        "NaN",
    ],
    "n": ["1", "2", "3.0", "null", "1e0"],
    "user": ['"ann"', "12345", "null", '""', "1.5", "9007199254740993"],
    "metadata": [
        '{"user_id":"m"}',
        "{}",
        "null",
        '{"User_id":"m"}',
        '{"user_id":"a","user_id":"b"}',
        '"user_id"',
    ],
    "stream_options": [
        '{"include_usage":true}',
        '{"include_usage":null,"a":[1]}',
        '{"Include_usage":true}',
        "[]",
    ],
    "messages": [
        '[{"model":"dear","stream":true}]',
        "[]",
        '"\\",\\"model\\":\\"dear"',
        '["}", {"n": 9}]',
    ],
    "temperature": ["0.5", "1", "Infinity", "1.", ".5", "+1", "0x1"],
    "x": [
        '{"model":"dear","Model":"dear"}',
        '"\\/"',
        '"\\u0000"',
        "[" * 30 + "]" * 30,
        '"\\q"',
        "tru",
        "'a'",
        "[1,]",
    ],
}
FOLDS = {"s": "\u017f", "k": "\u212a", "i": "\u0131", "e": "é", "o": "0"}
BYTES = [
    b"\xff",
    b"\xc0\xa2",
    b"\xed\xa0\x80",
    b"\x00",
    b"\xef\xbb\xbf",
    b"\n",
    b"/**/",
    b"\\",
    b'"',
    b",",
    b"}",
]


def pick(random: Random, values: list[str], right: int, rate: float) -> str:
    """One of the first, which are right, at that rate; else any."""
    return random.choice(values[:right] if random.random() < rate else values)


def wrong_name(random: Random, name: str) -> str:
    """A name that some parser may take for the right one."""
    change: Callable[[], str] = random.choice(
        [
            name.upper,
            name.title,
            lambda: "".join(random.choice((each, each.upper())) for each in name),
            lambda: "".join(
                FOLDS.get(each, each) if random.random() < 0.5 else each for each in name
            ),
            lambda: "".join(
                f"\\u{ord(each):04x}" if random.random() < 0.5 else each for each in name
            ),
            lambda: f"{name}\\u0000",
            lambda: f"{name} ",
            lambda: name.replace("_", ""),
        ]
    )
    return change()


def json_case(random: Random) -> Case:
    """Some members, mostly right, and now and then damaged bytes."""
    chosen = ["model", *random.choices(RIGHT, k=random.randint(0, 5))]
    random.shuffle(chosen)
    if random.random() < 0.7:
        chosen = list(dict.fromkeys(chosen))
    members = []
    for name in chosen:
        value = pick(random, VALUES[name], 2, 0.85)
        written = wrong_name(random, name) if random.random() < 0.1 else name
        space = random.choice(["", "", " ", "\r\n\t"])
        members.append(f'{space}"{written}"{space}:{space}{value}{space}')
    raw = ("{" + ",".join(members) + "}").encode()
    if random.random() < 0.15:
        at = random.randint(0, len(raw))
        raw = raw[:at] + random.choice(BYTES) + raw[at + random.randint(0, 1) :]
    return Case(raw)


def says(read: dict[str, Any], facts: Body) -> list[str]:
    """How another parser's reading differs from ours, in words."""
    limit, user = read.get("max_tokens"), read.get("user") or read.get("metadata.user_id")
    found = {
        "model": (read.get("model"), facts.model),
        "stream": (read.get("stream") or False, facts.stream),
        "include_usage": (read.get("stream_options.include_usage") is True, facts.include_usage),
        "n": (max(1, read.get("n") or 1), facts.choices),
        "max_tokens": (
            None if limit is None or limit < 0 else float(limit),
            _float(facts.max_output_tokens),
        ),
        "user": (None if user in (None, "") else str(user), facts.customer),
    }
    return [
        f"{name}: {theirs!r}, ours {mine!r}"
        for name, (theirs, mine) in found.items()
        if theirs != mine
    ]


def _float(value: int | None) -> float | None:
    """Numbers as JavaScript has them."""
    return None if value is None else float(value)


@pytest.mark.parametrize("language", COMMANDS)
def test_json_that_passes_is_read_alike_by_all(language: str) -> None:
    """Refusing what we let pass does no harm; reading something else would."""
    random = Random(20261127)
    cases = [json_case(random) for _ in range(6_000)]
    theirs, mine = read_by(language, cases), [ours(each) for each in cases]
    differ = {
        case.raw: said
        for case, read, facts in zip(cases, theirs, mine, strict=True)
        if read is not None and facts is not None and (said := says(read, facts))
    }
    assert differ == {}
    assert sum(facts is not None for facts in mine) > 1_500
    refused = [read for read, facts in zip(theirs, mine, strict=True) if facts is None]
    assert sum(read is not None for read in refused) > 300, (
        "nothing was refused that this parser takes"
    )


# --- forms ---

FIELDS = ["model", "user", "stream", "n", "prompt", "file", "other"]
PARTS = [
    'Content-Disposition: form-data; name="{name}"',
    "content-disposition: form-data; name={name}",
    'Content-Disposition: form-data; name="{name}"\r\nContent-Type: text/plain; charset=utf-8',
    'Content-Disposition: form-data; name="{name}"; filename="a.mp3"\r\nContent-Type: audio/mpeg',
    "Content-Disposition: form-data; name=\"zzz\"; name*=utf-8''{name}",
    'Content-Disposition: form-data; name*0="{name}"',
    'Content-Disposition: form-data; name="x"; name="{name}"',
    'Content-Disposition: form-data; name="x"; filename="\\"; name=\\"{name}"',
    'Content-Disposition: form-data;\r\n name="{name}"',
    'Content-Disposition: attachment; name="{name}"',
    'Content-Disposition: form-data; name="{name}"\r\nContent-Transfer-Encoding: quoted-printable',
    'Content-Disposition: form-data; name="{name}"\r\nContent-Type: multipart/mixed; boundary=in',
    'Content-Disposition : form-data; name="{name}"',
    'Content-Disposition: form-data; name="{name}"; filename=""',
    'X-A: b\r\nContent-Disposition: form-data; name="{name}"',
]
TYPES = [
    "multipart/form-data; boundary=REAL",
    'multipart/form-data; boundary="REAL"',
    "Multipart/Form-Data; charset=utf-8; BOUNDARY=REAL",
    'multipart/form-data; x="; boundary=FAKE"; boundary=REAL',
    "multipart/form-data; boundary=FAKE; boundary=REAL",
    "multipart/form-data; boundary=REAL; boundary*=utf-8''FAKE",
    "multipart/form-data; boundary*0=RE; boundary*1=AL",
    'multipart/form-data; boundary="RE\\AL"',
]
TEXTS = [
    "cheap",
    "dear",
    "true",
    "2",
    "=64ear",
    "a\r\n--FAKE\r\n",
    "\n--REAL\r\n" + PARTS[0].format(name="model"),
    "模",
]


def form_case(random: Random) -> Case:
    """Some parts, mostly right, under a content type that mostly is."""

    end = "\r\n" if random.random() < 0.95 else "\n"
    text = "" if random.random() < 0.97 else "preamble" + end
    chosen = ["model", *random.choices(FIELDS, k=random.randint(0, 3))]
    for name in dict.fromkeys(chosen) if random.random() < 0.9 else chosen:
        written = wrong_name(random, name) if random.random() < 0.05 else name
        boundary = "REAL" if random.random() < 0.98 else random.choice(["FAKE", "REAL ", "REALLY"])
        head = pick(random, PARTS, 4, 0.8).format(name=written)
        text += f"--{boundary}{end}{head}{end}{end}{pick(random, TEXTS, 4, 0.7)}{end}"
    text += "--REAL--" + (
        end if random.random() < 0.9 else random.choice(["", "epilogue", "\r\nmore\r\n--REAL--"])
    )
    return Case(text.encode(), pick(random, TYPES, 3, 0.85))


@pytest.mark.parametrize("language", COMMANDS)
def test_a_form_that_passes_is_read_alike_by_all(language: str) -> None:
    """Every text field that we read has one value, and it is ours."""
    random = Random(20261127)
    cases = [form_case(random) for _ in range(4_000)]
    theirs, mine = read_by(language, cases), [ours(each) for each in cases]
    differ = {}
    for case, read, facts in zip(cases, theirs, mine, strict=True):
        if read is None or facts is None:
            continue
        spans = {name: case.raw[start:end].decode() for name, (start, end) in facts.spans.items()}
        for name in ("model", "user", "stream", "n", "prompt"):
            if read.get(name, []) != ([spans[name]] if name in spans else []):
                differ[case] = (name, read.get(name), spans.get(name))
    assert differ == {}
    assert sum(facts is not None for facts in mine) > 500
    refused = [read for read, facts in zip(theirs, mine, strict=True) if facts is None]
    assert sum(read is not None for read in refused) > 300, (
        "nothing was refused that this parser takes"
    )

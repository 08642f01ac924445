"""Reads JSON bodies and forms as Python's own library does: json, and email for forms.

The lines are those of main.go.
"""

from __future__ import annotations

import json
import sys
from base64 import b64decode
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any


def of_json(raw: bytes) -> Any:
    read = json.loads(raw)
    if not isinstance(read, dict):
        return None
    found = {name: read.get(name) for name in ("model", "stream", "max_tokens", "n", "user")}
    for parent, name in (("metadata", "user_id"), ("stream_options", "include_usage")):
        inner = read.get(parent)
        found[f"{parent}.{name}"] = inner.get(name) if isinstance(inner, dict) else None
    return found


def of_form(raw: bytes, content_type: str) -> Any:
    message = BytesParser(policy=HTTP).parsebytes(
        b"content-type: " + content_type.encode() + b"\r\n\r\n" + raw
    )
    if not message.is_multipart():
        return None
    found: dict[str, list[str]] = {}
    for part in message.iter_parts():
        name = part.get_param("name", header="content-disposition")
        if isinstance(name, tuple):  # RFC 2231
            name = name[2]
        if name is not None and part.get_filename() is None:
            content = part.get_payload(decode=True)
            found.setdefault(str(name), []).append(
                content.decode() if isinstance(content, bytes) else ""
            )
    return found


for line in sys.stdin:
    asked = json.loads(line)
    raw = b64decode(asked["raw"])
    try:
        read = of_json(raw) if asked["type"] is None else of_form(raw, asked["type"])
        told = json.dumps(read)
    except (ValueError, RecursionError, AttributeError, TypeError, LookupError):
        told = "null"
    print(told)

"""Extract the fields that the table wants from the bytes of a JSON document, intact or not."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from tollgate.core.usage.apis.paths import Wanted
from tollgate.core.usage.framing.scan import Document, Scanner

# A document up to this size is decoded at once, which is fast; a longer one is scanned as it
# arrives and never kept.
MAX_KEPT_BYTES = 256 * 1024

_Members = dict[str, msgspec.Raw]
# Members stay raw, so unwanted text and numbers never become objects.
_decoder = msgspec.json.Decoder(_Members | list[_Members])


def read_documents(body: bytes, wanted: Wanted) -> tuple[list[Document], bool]:
    """Return the documents in `body` (the items, if it is a list), and whether it was complete."""
    if len(body) <= MAX_KEPT_BYTES:
        try:
            decoded = _decoder.decode(body)
            members = decoded if isinstance(decoded, list) else [decoded]
            return [_wanted_members(item, wanted) for item in members], True
        # ValueError: text that is not UTF-8. RecursionError: nested too deep.
        except (msgspec.MsgspecError, ValueError, RecursionError):
            pass  # the scanner finds what is intact
    scanner = Scanner(wanted)
    scanner.feed(body)
    return scanner.take_all(), scanner.complete


def _wanted_members(members: Mapping[str, msgspec.Raw], wanted: Wanted) -> Document:
    return {name: msgspec.json.decode(members[name]) for name in wanted if name in members}

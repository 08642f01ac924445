"""What Envoy's own filters can read of a reply's usage: rules that name a path. From what they found to Usage: fields.py.

Envoy's JSON parsers know the members of objects, not the items of lists. In a stream's events a rule may name an object, which
comes as its JSON text with everything in it; in a body that is no stream it must name the value itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto

from tollgate.core.usage.api import Api, Field
from tollgate.core.usage.deltas import BYTES_PER_TOKEN
from tollgate.core.usage.paths import Path

STREAM_BYTES_PER_TOKEN = 40 * BYTES_PER_TOKEN
"""What a token of output is taken for in a stream whose text nobody has counted: OpenAI's events, one token each, are 160 to 250 bytes long."""

# Counts in lists are told only of requests that ask for what they count; a body without any of these words does not.
_MEDIA = (b"inlineData", b"inline_data", b"fileData", b"file_data")
_ASKED_BY: Mapping[Field, tuple[bytes, ...]] = {
    Field.SEARCHES: (b"web_search",),
    Field.CACHE_WRITE_5M: (b"cachePoint",),
    Field.CACHE_WRITE_1H: (b"cachePoint",),
    Field.INPUT_AUDIO: _MEDIA,
    Field.INPUT_IMAGE: _MEDIA,
    Field.OUTPUT_AUDIO: (b"odalities",),
    Field.OUTPUT_IMAGE: (b"odalities",),
}
# A body is held and parsed whole: megabytes of base64 or of numbers are not worth it. An embedding is 30 to 60 KB; Cohere takes no more
# than 96 inputs (https://docs.cohere.com/reference/embed), the others thousands.
_LONG_REPLIES = frozenset({"openai.images"})
_AS_LONG_AS_INPUTS = frozenset({"openai.embeddings", "gemini.embed"})
_MANY_COMMAS = 100
# Every body holds it.
_ALWAYS = b""

Names = tuple[str, ...]
"""A path as the names of members, from the top."""


class Framing(Enum):
    """How a reply comes, as far as Envoy has a filter for it."""

    BODY = auto()
    SSE = auto()
    EVENT_STREAM = auto()


def framings_of(api: Api) -> tuple[Framing, ...]:
    """The framings of an API's replies that Envoy can read."""
    if api.free or api.wrapped or api.name in _LONG_REPLIES:
        return ()
    if api.name.endswith("_stream"):
        return (Framing.EVENT_STREAM,)
    framings = (Framing.BODY,) if api.name == "ollama" else (Framing.BODY, Framing.SSE)
    return tuple(each for each in framings if rules_of(api, each) and _ALWAYS not in _words(api, each))


def rules_of(api: Api, framing: Framing) -> tuple[Names, ...]:
    """What to read of a document of the API's."""
    found: dict[Names, None] = {}
    for root in api.roots:
        if framing is Framing.BODY and (root.early or root.stream_only):
            continue
        for paths in api.where.values():
            for path in paths:
                if root.path.plain is not None and (names := _readable(path, framing)) is not None:
                    found[root.path.plain + names] = None
    return tuple(found)


def objects_of(api: Api) -> tuple[Names, ...]:
    """Of what rules name, the objects: what they tell has members."""
    within = {
        (*root.path.plain, path.steps[0].name)
        for root in api.roots
        for paths in api.where.values()
        for path in paths
        if root.path.plain is not None and len(path.steps) > 1
    }
    return tuple(sorted(within))


@dataclass(frozen=True, slots=True)
class Reach:
    """How far Envoy's filters reach into an API's replies: by framing, the words that a request may not hold if they are to read all.

    `by_inputs`: a reply is as long as its request has inputs.
    """

    api: Api
    words: Mapping[Framing, tuple[bytes, ...]]
    by_inputs: bool

    def covers(self, body: bytes, query: str, *, stream: bool) -> bool:
        """Whether Envoy's filters will read all that the reply to this request may tell."""
        if self.api.free:
            return True
        framing = _framing_of_stream(self.api, query) if stream else Framing.BODY
        words = self.words.get(framing) if framing is not None else None
        if words is None or (self.by_inputs and body.count(b",") > _MANY_COMMAS):
            return False
        return not any(word in body for word in words)


def left_to_ext_proc(api: Api) -> tuple[str, ...]:
    """Which replies of an API Envoy's filters cannot read, in words that complete "ext_proc reads ..."; none: they read all."""
    if api.free:
        return ()
    reach = reach_of(api)
    if not reach.words:
        return (f"all replies, {_why_unread(api)}",)
    left = []
    if reach.words.keys() == {Framing.BODY}:
        left.append("streams, which come as lines of JSON")
    elif api.text and _streams_an_array(api):
        left.append("streams asked for without alt=sse, which are one JSON array")
    for words, framings in _by_words(reach).items():
        replies = "replies" if len(framings) == len(reach.words) else "JSON replies"
        listed = " or ".join(word.decode() for word in words)
        left.append(f"{replies} to requests that mention {listed}, which may count in lists")
    if reach.by_inputs:
        left.append(f"replies to requests of many inputs (over {_MANY_COMMAS} commas), which are long")
    return tuple(left)


def _why_unread(api: Api) -> str:
    if api.wrapped:
        return "whose events come packed in base64"
    return "which are long" if api.name in _LONG_REPLIES else "which may count in lists"


def _by_words(reach: Reach) -> dict[tuple[bytes, ...], list[Framing]]:
    """The framings that the same words keep Envoy from reading."""
    found: dict[tuple[bytes, ...], list[Framing]] = {}
    for framing, words in reach.words.items():
        if words:
            found.setdefault(words, []).append(framing)
    return found


def reach_of(api: Api) -> Reach:
    """What can be said of an API beforehand."""
    words = {framing: tuple(_words(api, framing)) for framing in framings_of(api)}
    return Reach(api, words, by_inputs=api.name in _AS_LONG_AS_INPUTS)


def _words(api: Api, framing: Framing) -> dict[bytes, None]:
    """Words without which a request is told nothing that Envoy does not find; _ALWAYS where that cannot be said."""
    unread = (field for field, paths in api.where.items() if any(_readable(path, framing) is None for path in paths))
    return dict.fromkeys(word for field in unread for word in _ASKED_BY.get(field, (_ALWAYS,)))


def _framing_of_stream(api: Api, query: str) -> Framing | None:
    if api.name.endswith("_stream"):
        return Framing.EVENT_STREAM
    array = _streams_an_array(api) and "alt=sse" not in query
    return None if array else Framing.SSE


def _streams_an_array(api: Api) -> bool:
    """Whether a stream is one JSON array unless `alt=sse` asks for events."""
    return api.name.startswith("gemini.")


def _readable(path: Path, framing: Framing) -> Names | None:
    """The part of a path that a rule can name; None: there is none."""
    if framing is Framing.BODY:
        return path.plain
    first = path.steps[0]
    return None if first.each else (first.name,)

"""Define which usage Envoy's own filters can read, as rules that name a path in a reply.

fields.py turns what they found into Usage. Envoy's JSON parsers know members of objects but not
items of lists. In a stream's events a rule may name an object, which is returned as JSON text; in
any other body it must name the value itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from functools import lru_cache

from tollgate.core.calls.usage import Usage
from tollgate.core.usage.apis.api import Api, Field
from tollgate.core.usage.apis.paths import Path
from tollgate.core.usage.reading import NOTHING_SEEN, Seen
from tollgate.core.usage.seen import BYTES_PER_TOKEN

STREAM_BYTES_PER_TOKEN = 40 * BYTES_PER_TOKEN
"""Bytes per output token assumed for a stream whose text nobody counted.

OpenAI's events hold one token each and are 160 to 250 bytes long.
"""

# Counts in lists are reported only if the request asks for what they count, and a body without any
# of these words does not. `pmpt_` names a stored prompt, which may ask for anything.
_MEDIA = (
    b"inlineData",
    b"inline_data",
    b"fileData",
    b"file_data",
    b"cachedContent",
    b"cached_content",
)
_OUTPUT_MEDIA = (b"odalities",)
_GROUNDS = (
    b"googleSearch",
    b"google_search",
    b"googleMaps",
    b"google_maps",
    b"enterpriseWebSearch",
    b"enterprise_web_search",
)

_ASKED_BY: Mapping[Field, tuple[bytes, ...]] = {
    Field.SEARCHES: _GROUNDS,
    Field.GROUNDED: _GROUNDS,
    Field.MAP_SEARCHES: _GROUNDS,
    Field.CITED: (b"web_search", b'"plugins"'),
    Field.SEARCH_CALLS: (b"web_search", b"pmpt_"),
    Field.PAGE_VISITS: (b"web_search", b"pmpt_"),
    Field.FILE_SEARCHES: (b"file_search", b"pmpt_"),
    Field.CODE_CONTAINERS: (b"code_interpreter", b"pmpt_"),
    Field.IMAGE_CALLS: (b"image_generation", b"pmpt_"),
    Field.IMAGE_TOOL_MODEL: (b"image_generation", b"pmpt_"),
    Field.CACHE_WRITE_5M: (b"cachePoint",),
    Field.CACHE_WRITE_1H: (b"cachePoint",),
    Field.INPUT_AUDIO: _MEDIA,
    Field.INPUT_IMAGE: _MEDIA,
    Field.INPUT_VIDEO: _MEDIA,
    Field.CACHE_READ_AUDIO: _MEDIA,
    Field.CACHE_READ_IMAGE: _MEDIA,
    Field.OUTPUT_AUDIO: _OUTPUT_MEDIA,
    Field.OUTPUT_IMAGE: _OUTPUT_MEDIA,
    Field.OUTPUT_VIDEO: _OUTPUT_MEDIA,
    # Only one provider reports it there: see _PROVIDERS.
    Field.COST: (),
}
# Anthropic's features that run models more than once in a call.
_ASKS_FOR_PASSES = (b"compact", b"advisor", b"fallback")
# JSON may write any letter of a word as an escape.
_ESCAPED_LETTER = re.compile(rb"\\u00[4-7]")
# Models that draw, speak or search without being asked.
_MODELS = ("image", "tts", "audio", "search")
# Envoy holds and parses the whole body, which is not worth it for megabytes of base64 or numbers.
# An embedding is 30 to 60 KB; Cohere accepts at most 96 inputs
# (https://docs.cohere.com/reference/embed), the others thousands.
_LONG_REPLIES = frozenset({"openai.images"})
# Too rare to justify filters that every other reply would have to pass.
_RARE = frozenset(
    {"openai.ocr", "openai.other", "anthropic.complete", "gemini.interactions", "cohere.rerank"}
)
_AS_LONG_AS_INPUTS = frozenset({"openai.embeddings", "gemini.embed"})
_MANY_COMMAS = 100
_SSE = "+sse"
# Contained in every body.
_ALWAYS = b""

Names = tuple[str, ...]
"""A path as the names of members, from the top."""


class Framing(Enum):
    """The framing of a reply, for those that Envoy has a filter for."""

    BODY = auto()
    SSE = auto()
    EVENT_STREAM = auto()


# Providers that always report in lists: Moonshot its usage in streams, Vercel the cost.
_PROVIDERS: Mapping[str, tuple[Framing, ...]] = {
    "moonshot": (Framing.SSE,),
    "vercel_ai_gateway": (Framing.BODY, Framing.SSE),
}
# Members of events that only errors have, or that are 0 in other events.
_ERRORS: Mapping[Framing, tuple[Names, ...]] = {
    Framing.SSE: (
        ("error",),
        ("base_resp", "status_code"),
        ("response", "error"),
        ("promptFeedback", "blockReason"),
    ),
    Framing.EVENT_STREAM: (("message",),),
}
_ERROR_NAMES = frozenset(".".join(names) for each in _ERRORS.values() for names in each)
# Events that only end a stream or keep it alive are no longer, and no error is shorter.
_LEAST_BYTES = 64
_ERROR_BYTES = 2_048
# Bytes of a JSON reply besides its text.
_BODY_BYTES = 512
# Their events hold a few words each, and longer names.
_SMALL_EVENTS = frozenset({"anthropic.messages", "openai.responses", "bedrock.converse_stream"})
_SMALL_EVENT_BYTES_PER_TOKEN = 30
# Their replies are vectors or scores.
_NO_TEXT = frozenset({"openai.embeddings", "gemini.embed", "vertex.predict"})


def framings_of(api: Api) -> tuple[Framing, ...]:
    """Return the framings of an API's replies that Envoy can read."""
    if api.free or api.wrapped or api.name in _LONG_REPLIES or api.name in _RARE:
        return ()
    if api.name.endswith("_stream"):
        return (Framing.EVENT_STREAM,)
    framings = (Framing.BODY,) if api.name == "ollama" else (Framing.BODY, Framing.SSE)
    return tuple(
        each for each in framings if rules_of(api, each) and _ALWAYS not in _words(api, each)
    )


def reader_name(api_name: str, framing: Framing) -> str:
    """Return the name of the filter that reads an API's replies in one framing."""
    return f"{api_name}{_SSE}" if framing is Framing.SSE else api_name


def api_name(reader: str) -> str:
    """Return the API whose replies a filter of that name reads."""
    return reader.removesuffix(_SSE)


def rules_of(api: Api, framing: Framing) -> tuple[Names, ...]:
    """Return what to read of a document of the API."""
    found: dict[Names, None] = {}
    for root in api.roots:
        if framing is Framing.BODY and (root.early or root.stream_only):
            continue
        for paths in api.where.values():
            for path in paths:
                if root.path.plain is not None and (names := _readable(path, framing)) is not None:
                    found[root.path.plain + names] = None
    if found:
        found |= dict.fromkeys(_ERRORS.get(framing, ()))
    return tuple(found)


def counts_of_body(api: Api) -> tuple[tuple[str, ...], ...]:
    """Return groups of fields of which one must exceed zero, or else ext_proc reads the body.

    Without reported input and output, only what the reply showed says what to charge.
    """
    directions = (Field.INPUT,) if api.name in _NO_TEXT else (Field.INPUT, Field.OUTPUT)
    return tuple(_body_fields(api, direction, Field.AUDIO_SECONDS) for direction in directions)


def _body_fields(api: Api, *fields: Field) -> tuple[str, ...]:
    roots = [root.path.plain for root in api.roots if not (root.early or root.stream_only)]
    paths = [path.plain for field in fields for path in api.where.get(field, ())]
    return tuple(
        ".".join((*root, *path))
        for root in roots
        for path in paths
        if root is not None and path is not None
    )


def is_told_again(api: Api, names: Names) -> bool:
    """Return whether a rule names an object that several events of a stream may report.

    The first value is then kept beside the last.
    """
    return names in objects_of(api)


def objects_of(api: Api) -> tuple[Names, ...]:
    """Return the rules that name objects."""
    within = {
        (*root.path.plain, path.steps[0].name)
        for root in api.roots
        for paths in api.where.values()
        for path in paths
        if root.path.plain is not None and len(path.steps) > 1 and not path.steps[0].each
    }
    return tuple(sorted(within))


@dataclass(frozen=True, slots=True)
class Reach:
    """How far Envoy's filters can read an API's replies.

    For each framing: words that the request must not contain if the filters are to read everything.
    `by_inputs`: the reply is as long as its request has inputs.
    """

    api: Api
    words: Mapping[Framing, tuple[bytes, ...]]
    by_inputs: bool

    def reader(
        self, body: bytes, query: str, *, stream: bool, provider: str = "", model: str = ""
    ) -> str | None:
        """Return the Envoy filter that reads everything the reply to this request may report.

        None if there is no such filter. `provider` and `model` are the deployment's.
        """
        if self.api.free:
            return self.api.name
        framing = _framing_of_stream(self.api, query) if stream else Framing.BODY
        words = self.words.get(framing) if framing is not None else None
        if framing is None or words is None or (self.by_inputs and body.count(b",") > _MANY_COMMAS):
            return None
        if may_tell_in_lists(framing, words, body, provider, model):
            return None
        return reader_name(self.api.name, framing)


def may_tell_in_lists(
    framing: Framing | None, words: tuple[bytes, ...], body: bytes, provider: str, model: str
) -> bool:
    """Return whether the reply to a request may report in lists what is to be charged.

    `words`: those of the API and framing.
    """
    if framing in _PROVIDERS.get(provider, ()):
        return True
    if not words:
        return False
    for word in words:
        if word in body:
            return True
    if _answers_unasked(model):
        return True
    return b"\\u00" in body and _ESCAPED_LETTER.search(body) is not None


@lru_cache(maxsize=1024)
def _answers_unasked(model: str) -> bool:
    return any(part in model for part in _MODELS)


def left_to_ext_proc(api: Api) -> tuple[str, ...]:
    """Return which replies of an API Envoy's filters cannot read; empty if they read all.

    The words complete the phrase "ext_proc reads ...".
    """
    if api.free:
        return ()
    reach = reach_of(api)
    if not reach.words:
        return (f"all replies, {_why_unread(api)}",)
    left = []
    if reach.words.keys() == {Framing.BODY}:
        left.append("streams, which come as lines of JSON")
    elif api.output.text and _streams_an_array(api):
        left.append("streams asked for without alt=sse, which are one JSON array")
    for words, framings in _by_words(reach).items():
        kind = "JSON " if framings == [Framing.BODY] else "streamed "
        replies = "replies" if len(framings) == len(reach.words) else f"{kind}replies"
        listed = " or ".join(word.decode() for word in words)
        left.append(f"{replies} to requests that mention {listed}, which may count in lists")
    if reach.by_inputs:
        left.append(
            f"replies to requests of many inputs (over {_MANY_COMMAS} commas), which are long"
        )
    return tuple(left)


def _why_unread(api: Api) -> str:
    if api.wrapped:
        return "whose events come packed in base64"
    if api.name in _RARE:
        return "which are rare"
    return "which are long" if api.name in _LONG_REPLIES else "which may count in lists"


def _by_words(reach: Reach) -> dict[tuple[bytes, ...], list[Framing]]:
    """Return framings grouped by the words that keep Envoy from reading them."""
    found: dict[tuple[bytes, ...], list[Framing]] = {}
    for framing, words in reach.words.items():
        if words:
            found.setdefault(words, []).append(framing)
    return found


def reach_of(api: Api) -> Reach:
    """Return what is known of an API in advance."""
    words = {framing: tuple(_words(api, framing)) for framing in framings_of(api)}
    return Reach(api, words, by_inputs=api.name in _AS_LONG_AS_INPUTS)


def _words(api: Api, framing: Framing) -> dict[bytes, None]:
    """Return words without which a request gets nothing that Envoy cannot find.

    _ALWAYS if no words can guarantee that.
    """
    unread = (
        field
        for field, paths in api.where.items()
        if any(_readable(path, framing) is None for path in paths)
    )
    words = dict.fromkeys(word for field in unread for word in _ASKED_BY.get(field, (_ALWAYS,)))
    if api.passes is not None and framing is Framing.BODY:
        words |= dict.fromkeys(_ASKS_FOR_PASSES)
    return words


def told_error(fields: Mapping[str, object]) -> bool:
    """Return whether the fields belong to an error."""
    return any(fields[name] not in (0, "", "null") for name in _ERROR_NAMES if name in fields)


def seen_in(api_name: str, body_bytes: int, *, stream: bool, error: bool) -> Seen:
    """Return what a reply may have shown, at least and at most, from its length alone.

    An event of a stream holds one token or a whole answer.
    """
    if body_bytes <= _LEAST_BYTES or (error and body_bytes <= _ERROR_BYTES):
        return NOTHING_SEEN
    if api_name in _NO_TEXT:
        return Seen(shown=True)
    if not stream:
        most = _tokens(max(0, body_bytes - _BODY_BYTES), BYTES_PER_TOKEN)
        return Seen(shown=True, output_tokens=1, most_tokens=max(1, most))
    most = _tokens(
        body_bytes, _SMALL_EVENT_BYTES_PER_TOKEN if api_name in _SMALL_EVENTS else BYTES_PER_TOKEN
    )
    return Seen(
        shown=True, output_tokens=_tokens(body_bytes, STREAM_BYTES_PER_TOKEN), most_tokens=most
    )


def _tokens(body_bytes: int, bytes_per_token: int) -> int:
    return -(-body_bytes // bytes_per_token)


def hidden_tokens(usage: Usage, body_bytes: int, *, stream: bool) -> int:
    """Return how much of a reported output a reply of that length cannot have shown, at least."""
    hidden = usage.output_tokens - -(-body_bytes // BYTES_PER_TOKEN)
    if stream and usage.reasoning_tokens:
        # Visible reasoning comes in events like the rest.
        in_events = -(-body_bytes // STREAM_BYTES_PER_TOKEN)
        hidden = max(hidden, min(usage.reasoning_tokens, usage.output_tokens - in_events))
    return max(0, hidden)


def _framing_of_stream(api: Api, query: str) -> Framing | None:
    if api.name.endswith("_stream"):
        return Framing.EVENT_STREAM
    array = _streams_an_array(api) and "alt=sse" not in query
    return None if array else Framing.SSE


def _streams_an_array(api: Api) -> bool:
    """Return whether a stream is one JSON array unless `alt=sse` asks for events."""
    return api.name.startswith("gemini.")


def _readable(path: Path, framing: Framing) -> Names | None:
    """Return the part of a path that a rule can name; None if there is none."""
    if framing is Framing.BODY:
        return path.plain
    first = path.steps[0]
    return None if first.each else (first.name,)

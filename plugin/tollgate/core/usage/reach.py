"""Tell which replies Envoy's own filters read whole, by their API and by what the request asks for.

The other replies are left to ext_proc.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from tollgate.core.usage.apis.api import Api, Field
from tollgate.core.usage.native import Framing, readable, reader_name, rules_of

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
    Field.IMAGE_SEARCHES: _GROUNDS,
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
    # Where pictures are charged, no filter reads the reply.
    Field.IMAGES: (),
    # Only one provider reports it there: see _PROVIDERS.
    Field.COST: (),
}
# Words that ask within the conversation. The others ask in members beside it, such as `tools`; in
# the conversation they are only text.
_ASKS_IN_CONVERSATION = frozenset({*_MEDIA, b"cachePoint"})
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
# Contained in every body.
_ALWAYS = b""

# Providers that always report in lists: Moonshot its usage in streams, Vercel the cost.
_PROVIDERS: Mapping[str, tuple[Framing, ...]] = {
    "moonshot": (Framing.SSE,),
    "vercel_ai_gateway": (Framing.BODY, Framing.SSE),
}


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
        self,
        body: bytes,
        query: str,
        *,
        stream: bool,
        provider: str = "",
        model: str = "",
        conversation: tuple[int, int] = (0, 0),
    ) -> str | None:
        """Return the Envoy filter that reads everything the reply to this request may report.

        None if there is no such filter. `provider` and `model` are the deployment's.
        `conversation` is the span of the messages in the body; it is not searched for words that
        only settings ask with.
        """
        if self.api.free:
            return self.api.name
        framing = _framing_of_stream(self.api, query) if stream else Framing.BODY
        words = self.words.get(framing) if framing is not None else None
        if framing is None or words is None or (self.by_inputs and body.count(b",") > _MANY_COMMAS):
            return None
        if framing in _PROVIDERS.get(provider, ()):
            return None
        if words and (_answers_unasked(model) or _asks(words, body, conversation)):
            return None
        return reader_name(self.api.name, framing)


def _asks(words: tuple[bytes, ...], body: bytes, conversation: tuple[int, int]) -> bool:
    """Return whether a request may ask, by these words, for what the reply reports in lists."""
    start, end = conversation
    for word in words:
        if body.find(word, 0, start) >= 0 or body.find(word, end) >= 0:
            return True
        if word in _ASKS_IN_CONVERSATION and body.find(word, start, end) >= 0:
            return True
    if not _ASKS_IN_CONVERSATION.isdisjoint(words):
        end = start
    search = _ESCAPED_LETTER.search
    return search(body, 0, start) is not None or search(body, end) is not None


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
    if api.name in _LONG_REPLIES:
        return "which are long"
    return "which may count in lists"


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
        if any(readable(path, framing) is None for path in paths)
    )
    words = dict.fromkeys(word for field in unread for word in _ASKED_BY.get(field, (_ALWAYS,)))
    if api.passes is not None and framing is Framing.BODY:
        words |= dict.fromkeys(_ASKS_FOR_PASSES)
    return words


def _framing_of_stream(api: Api, query: str) -> Framing | None:
    if api.name.endswith("_stream"):
        return Framing.EVENT_STREAM
    array = _streams_an_array(api) and "alt=sse" not in query
    if array:
        return None
    return Framing.SSE


def _streams_an_array(api: Api) -> bool:
    """Return whether a stream is one JSON array unless `alt=sse` asks for events."""
    return api.name.startswith("gemini.")

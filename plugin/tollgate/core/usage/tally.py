"""What the documents of one reply told of usage so far, and what it comes to, in one meaning for all providers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from tollgate.core.entities import MAX_EXACT, Certainty, Usage
from tollgate.core.usage.api import NAMES, Api, Field, Meaning, Merge
from tollgate.core.usage.paths import Path

_MAX_NAME_CHARACTERS = 256
# What Anthropic calls the speed and the service tier that nobody had to ask for.
_ORDINARY = ("standard", "default")
_NOTHING: dict[str, Any] = {}
# The members of an enumeration are slow to look up, and every reply needs these.
_EXACT, _PARTIAL = Certainty.EXACT, Certainty.PARTIAL
_MODEL, _SERVICE_TIER, _AUDIO_SECONDS = Field.MODEL, Field.SERVICE_TIER, Field.AUDIO_SECONDS
_INPUT, _OUTPUT, _TOTAL, _REASONING, _CACHE_READ = (
    Field.INPUT, Field.OUTPUT, Field.TOTAL, Field.REASONING, Field.CACHE_READ,
)  # fmt: skip
_CACHE_WRITE, _CACHE_WRITE_5M, _CACHE_WRITE_1H = Field.CACHE_WRITE, Field.CACHE_WRITE_5M, Field.CACHE_WRITE_1H
# Parts of the input or the output, under the name that `Usage` has for them; and what stands beside tokens.
_MEDIA = (
    (Field.INPUT_AUDIO, "input_audio_tokens", False),
    (Field.INPUT_IMAGE, "input_image_tokens", False),
    (Field.OUTPUT_AUDIO, "output_audio_tokens", True),
    (Field.OUTPUT_IMAGE, "output_image_tokens", True),
)
_BESIDE = ((Field.SEARCHES, "searches"), (_AUDIO_SECONDS, "audio_seconds"))
# A count that is there and cannot be right: negative, fractional, boolean, text, too large.
_DAMAGED = -1

Counts = dict[Field, int | None]


class Tally:
    """Counts by field, merged by the API's rule. None: told as null, which is as good as untold."""

    def __init__(self, api: Api, headers: Mapping[str, str], *, stream: bool) -> None:
        self.done = False
        self._api = api
        self._stream = stream
        self._counts: Counts = {}
        self._names: dict[Field, str] = {}
        self._early = False
        self._final = False
        self._seen = False
        for field, header in api.headers.items():
            if header in headers and field in NAMES:
                self._names[field] = headers[header][:_MAX_NAME_CHARACTERS]
            elif header in headers:
                self._merge({field: _header_count(headers[header])}, early=False)

    def read(self, document: object) -> bool:
        """Take what one document tells. True: it told counts."""
        api = self._api
        if not isinstance(document, dict):
            return False
        if not self._final:
            for condition in api.final:
                if condition.holds(document):
                    self._final = True
                    break
        if api.done is not None:
            self.done = self.done or api.done.holds(document)
        elif self._final and not api.done_line:
            self.done = True
        for root in api.roots:
            if root.stream_only and not self._stream:
                continue
            for base in root.path.find(document):
                counts = self._extract(base)
                if counts or (api.zeros_omitted and self._final):
                    self.take(counts, self._find_names(base), early=root.early)
                    return True
        return False

    def take(self, counts: Counts, names: Mapping[Field, str], *, early: bool) -> None:
        """Take what was found in one document. Later names win: a provider may begin on one service tier and charge another."""
        self._names |= names
        self._merge(counts, early=early)

    @property
    def early(self) -> bool:
        """Whether the counts are only those of a stream's beginning."""
        return self._early

    def usage(self, *, broken: bool) -> Usage | None:
        """What is known. `broken`: the body could not be read to its end, so that what is known is not all."""
        if self._api.free:
            return Usage()
        if not self._seen:
            return None
        counts = {field: count for field, count in self._counts.items() if count is not None and count != _DAMAGED}
        total = normalise(counts, self._api.meaning)
        told = self.done or not self._api.final or self._final
        whole = told and not self._early and not (broken and not self.done)
        sound = total.sound and _DAMAGED not in self._counts.values()
        for field in self._api.needs:
            sound = sound and field in counts
        return Usage(
            **total.tokens,
            model=self._names.get(_MODEL),
            service_tier=self._names.get(_SERVICE_TIER),
            certainty=_EXACT if whole and sound else _PARTIAL,
        )

    def _merge(self, counts: Counts, *, early: bool) -> None:
        told = any(count is not None for count in counts.values())
        if self._api.merge is Merge.OVERRIDE:
            self._counts |= {field: count for field, count in counts.items() if count is not None or not self._seen}
        elif told or not self._seen:
            self._counts = counts
        self._early = early
        self._seen = True

    def _find_names(self, base: object) -> dict[Field, str]:
        found = {}
        for field, paths in self._api.layout.names:
            if (chosen := choose([name for path in paths for name in path.find(base)])) is not None:
                found[field] = chosen
        return found

    def _extract(self, base: object) -> Counts:
        counts: Counts = {}
        if not isinstance(base, dict):
            return counts
        layout, nodes = self._api.layout, [base]
        for above, name in layout.places:
            node = nodes[above].get(name)
            nodes.append(node if isinstance(node, dict) else _NOTHING)
        for field, place, name in layout.rows:
            node = nodes[place]
            if name in node and counts.get(field) is None:
                counts[field] = count(field, node[name])
        for field, path in layout.walks:
            if counts.get(field) is None and (found := path.find(base)):
                counts[field] = count_items(path, found)
        return counts


def choose(found: Sequence[object]) -> str | None:
    """Of the names that one document tells for the same thing, the first; one that is out of the ordinary goes before those that are not."""
    chosen: str | None = None
    for name in found:
        if not isinstance(name, str) or not 0 < len(name) <= _MAX_NAME_CHARACTERS:
            continue
        if chosen is None or (chosen in _ORDINARY and name not in _ORDINARY):
            chosen = name
    return chosen


def count(field: Field, value: object) -> int | None:
    """A value as a count of that field."""
    return None if value is None else _count(value, round_up=field is _AUDIO_SECONDS)


def count_items(path: Path, found: Sequence[object]) -> int | None:
    """What a path that walks a list found, as a count: how many, or their sum."""
    return len(found) if path.counts_items else _sum(found)


class Total(Struct, frozen=True, gc=False):
    """Counts under the names of `Usage`, of which a zero may be left out; `sound`: they agree with each other."""

    tokens: dict[str, Any]
    sound: bool


def normalise(counts: Mapping[Field, int], meaning: Meaning) -> Total:
    """Bring counts to the meaning of `Usage`: input with cache and tool prompts, output with reasoning."""
    get = counts.get
    input_tokens, output_tokens, reasoning = get(_INPUT, 0), get(_OUTPUT, 0), get(_REASONING, 0)
    read = get(_CACHE_READ, 0)
    write_5m, write_1h, sound = _cache_writes(counts)
    if meaning is Meaning.EXCLUSIVE:
        input_tokens += read + write_5m + write_1h
    elif meaning is Meaning.GEMINI:
        input_tokens += get(Field.TOOL_INPUT, 0)
        output_tokens, agrees = _gemini_output(counts, input_tokens)
        sound = sound and agrees
    elif _TOTAL in counts:
        # Gemini and xAI behind OpenAI's shape leave reasoning out of completion_tokens, not out of total_tokens.
        unseen = counts[_TOTAL] - input_tokens - output_tokens
        if unseen > 0 and reasoning in (0, unseen) and _INPUT in counts and _OUTPUT in counts:
            output_tokens, reasoning = output_tokens + unseen, unseen
    if input_tokens + output_tokens > MAX_EXACT:
        return Total({}, sound=False)
    tokens: dict[str, Any] = {"input_tokens": input_tokens, "output_tokens": output_tokens}
    cached = {"cache_read_tokens": read, "cache_write_5m_tokens": write_5m, "cache_write_1h_tokens": write_1h}
    if read + write_5m + write_1h <= input_tokens:
        tokens |= cached
    else:
        sound = False
    if reasoning:
        sound = _add_part(tokens, "reasoning_tokens", reasoning, output_tokens) and sound
    for field, name, of_output in _MEDIA:
        if part := get(field, 0):
            sound = _add_part(tokens, name, part, output_tokens if of_output else input_tokens) and sound
    for field, name in _BESIDE:
        if count := get(field, 0):
            tokens[name] = count
    return Total(tokens, sound)


def _add_part(tokens: dict[str, int], name: str, part: int, whole: int) -> bool:
    """Add what is part of a count; False: it cannot be."""
    if part > whole:
        return False
    tokens[name] = part
    return True


def _cache_writes(counts: Mapping[Field, int]) -> tuple[int, int, bool]:
    """Five-minute writes, one-hour writes, and whether the split agrees with the sum.

    A write of unknown kind is one of five minutes: that is Anthropic's default, and what other providers price alike.
    Anthropic's last event may raise the sum without telling the split again.
    """
    write_5m, write_1h = counts.get(_CACHE_WRITE_5M, 0), counts.get(_CACHE_WRITE_1H, 0)
    total = counts.get(_CACHE_WRITE, write_5m + write_1h)
    if total < write_5m + write_1h:
        return total, 0, False
    return total - write_1h, write_1h, True


def _gemini_output(counts: Mapping[Field, int], input_tokens: int) -> tuple[int, bool]:
    """Output, and whether the counts agree.

    Thoughts stand beside candidates in Google's definition, and inside them in some replies: the total tells which.
    """
    candidates, thoughts = counts.get(Field.OUTPUT, 0), counts.get(Field.REASONING, 0)
    if Field.TOTAL not in counts:
        return candidates + thoughts, True
    output_tokens = counts[Field.TOTAL] - input_tokens
    if output_tokens >= max(candidates, thoughts):
        return output_tokens, True
    return candidates + thoughts, False


def _sum(values: Sequence[object]) -> int | None:
    counts = [_count(value, round_up=False) for value in values if value is not None]
    if not counts:
        return None
    total = sum(counts)
    return _DAMAGED if _DAMAGED in counts or total > MAX_EXACT else total


def _count(value: object, *, round_up: bool) -> int:
    if type(value) is float and (value.is_integer() or (round_up and math.isfinite(value))):
        value = math.ceil(value)
    # A boolean is an integer to isinstance.
    return value if type(value) is int and 0 <= value <= MAX_EXACT else _DAMAGED


def _header_count(text: str) -> int:
    text = text.strip()
    return _count(int(text), round_up=False) if text.isascii() and text.isdigit() and len(text) < 20 else _DAMAGED

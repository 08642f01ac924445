"""Bring the counts of any API to one meaning.

Input includes cache and prompts of tools; output includes reasoning.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from tollgate.core.limits.accounts import MAX_EXACT
from tollgate.core.usage.apis.api import Field, Meaning

# Enum members are slow to look up, and every reply needs these.
_INPUT, _OUTPUT, _TOTAL, _REASONING = Field.INPUT, Field.OUTPUT, Field.TOTAL, Field.REASONING
_CACHE_READ, _CACHE_WRITE = Field.CACHE_READ, Field.CACHE_WRITE
_CACHE_WRITE_5M, _CACHE_WRITE_1H = Field.CACHE_WRITE_5M, Field.CACHE_WRITE_1H
_TOOL_INPUT, _INPUT_AUDIO, _AUDIO_SECONDS = Field.TOOL_INPUT, Field.INPUT_AUDIO, Field.AUDIO_SECONDS
# Parts of a count, by their name in `Counts` and the count they belong to.
_PARTS = (
    (_INPUT_AUDIO, "input_audio_tokens", "input_tokens"),
    (Field.INPUT_IMAGE, "input_image_tokens", "input_tokens"),
    (Field.INPUT_VIDEO, "input_video_tokens", "input_tokens"),
    (Field.CACHE_READ_AUDIO, "cache_read_audio_tokens", "cache_read_tokens"),
    (Field.CACHE_READ_IMAGE, "cache_read_image_tokens", "cache_read_tokens"),
    (Field.OUTPUT_AUDIO, "output_audio_tokens", "output_tokens"),
    (Field.OUTPUT_IMAGE, "output_image_tokens", "output_tokens"),
    (Field.OUTPUT_VIDEO, "output_video_tokens", "output_tokens"),
)
# What may be reported besides tokens. Most replies have none of it.
_BESIDE = (
    (Field.CITATION, "citation_tokens"),
    (Field.MAP_SEARCHES, "map_searches"),
    (Field.SOURCES, "sources"),
    (Field.FILE_SEARCHES, "file_searches"),
    (Field.CODE_CONTAINERS, "code_containers"),
    (Field.IMAGE_CALLS, "image_calls"),
    (_AUDIO_SECONDS, "audio_seconds"),
    (Field.PAGES, "pages"),
)
_SEARCHED = frozenset(
    {Field.SEARCHES, Field.IMAGE_SEARCHES, Field.SEARCH_CALLS, Field.GROUNDED, Field.CITED}
)
_ORDINARY = frozenset(
    {
        _INPUT,
        _OUTPUT,
        _TOTAL,
        _REASONING,
        _CACHE_READ,
        _CACHE_WRITE,
        _CACHE_WRITE_5M,
        _CACHE_WRITE_1H,
    }
)


class Total(Struct, frozen=True, gc=False):
    """Counts by their names in `Counts`; zeros may be missing.

    - `sound`: the counts agree with each other.
    - `input_told`, `output_told`: the count was reported, or follows from others.
    """

    tokens: dict[str, int]
    sound: bool
    input_told: bool
    output_told: bool


def normalise(counts: Mapping[Field, int], meaning: Meaning) -> Total:
    """Bring plausible counts to the meaning of `Counts`."""
    found = _gemini(counts) if meaning is Meaning.GEMINI else _inclusive(counts)
    input_tokens, output_tokens, reasoning, sound = found
    read = counts.get(_CACHE_READ, 0)
    write_5m, write_1h, agrees = _cache_writes(counts)
    cached = read + write_5m + write_1h
    if input_tokens is not None and (meaning is Meaning.EXCLUSIVE or cached > input_tokens):
        # If more was cached than sent, the cached tokens are beside the input.
        input_tokens += cached
    tokens = {"input_tokens": input_tokens or 0, "output_tokens": output_tokens or 0}
    if sum(tokens.values()) > MAX_EXACT:
        return Total({}, sound=False, input_told=False, output_told=False)
    sound = sound and agrees
    if cached and cached <= tokens["input_tokens"]:
        tokens |= {
            "cache_read_tokens": read,
            "cache_write_5m_tokens": write_5m,
            "cache_write_1h_tokens": write_1h,
        }
    elif cached:
        sound = False
    if reasoning:
        sound = _add_part(tokens, "reasoning_tokens", reasoning, "output_tokens") and sound
    if not counts.keys() <= _ORDINARY:
        sound = _add_rare(tokens, counts) and sound
    return Total(tokens, sound, input_tokens is not None, output_tokens is not None)


def _add_rare(tokens: dict[str, int], counts: Mapping[Field, int]) -> bool:
    """Add what few replies report; return whether all of it fits."""
    sound = True
    for field, name, whole in _PARTS:
        if part := counts.get(field, 0):
            sound = _add_part(tokens, name, part, whole) and sound
    for field, name in _BESIDE:
        if count := counts.get(field, 0):
            tokens[name] = count
    if not _SEARCHED.isdisjoint(counts) and (searches := _searches(counts)):
        tokens["searches"] = searches
    return sound


def _add_part(tokens: dict[str, int], name: str, part: int, whole: str) -> bool:
    """Add a part of a count; return False if it cannot be a part of it."""
    if part > tokens.get(whole, 0):
        return False
    tokens[name] = part
    return True


def _searches(counts: Mapping[Field, int]) -> int:
    """Return the number of searches.

    Taken from the provider's count, else from the calls of its search tool, else one if the answer
    rests on a search. Searches for pictures are charged like those of the web, and beside them.
    """
    if told := counts.get(Field.SEARCHES, 0) + counts.get(Field.IMAGE_SEARCHES, 0):
        return told
    if Field.SEARCHES in counts or Field.SEARCH_CALLS in counts:
        calls = counts.get(Field.SEARCH_CALLS, 0) - counts.get(Field.PAGE_VISITS, 0)
        if Field.SEARCHES in counts:
            return 0
        return max(0, calls)
    return max(counts.get(Field.GROUNDED, 0), counts.get(Field.CITED, 0))


_Found = tuple[int | None, int | None, int, bool]
"""Input and output (None: not reported), reasoning, and whether the counts agree."""


def _inclusive(counts: Mapping[Field, int]) -> _Found:
    get = counts.get
    input_tokens, output_tokens, total = get(_INPUT), get(_OUTPUT), get(_TOTAL)
    reasoning = get(_REASONING, 0)
    if total is not None and (input_tokens is None) != (output_tokens is None):
        known = input_tokens if output_tokens is None else output_tokens
        rest = total - (known or 0)
        if rest < 0:
            return input_tokens, output_tokens, reasoning, False
        if input_tokens is None:
            return (rest, known, reasoning, True)
        return (known, rest, reasoning, True)
    if input_tokens is None or output_tokens is None:
        return input_tokens, output_tokens, reasoning, True
    # Gemini and xAI, in OpenAI's shape, omit reasoning from completion_tokens but not from
    # total_tokens.
    unseen = 0 if total is None else total - input_tokens - output_tokens
    heard = get(_INPUT_AUDIO, 0)
    if (
        unseen > 0
        and reasoning != unseen
        and (heard == unseen or (_AUDIO_SECONDS in counts and not reasoning))
    ):
        # Mistral reports sound beside the prompt.
        input_tokens += unseen
    elif unseen > 0 and reasoning in (0, unseen):
        output_tokens, reasoning = output_tokens + unseen, unseen
    elif reasoning > output_tokens or (reasoning and Field.CITATION in counts):
        # More reasoning than output, or reported beside everything else, as Perplexity does.
        output_tokens += reasoning
    return input_tokens, output_tokens, reasoning, True


def _gemini(counts: Mapping[Field, int]) -> _Found:
    """Bring Gemini's counts to the common meaning.

    Prompts of tools are beside the prompt, and thoughts beside candidates; a zero may be missing.
    Some replies include thoughts in candidates: the total tells which.
    """
    get = counts.get
    tools, thoughts, total = get(_TOOL_INPUT, 0), get(_REASONING, 0), get(_TOTAL)
    candidates = get(_OUTPUT, 0)
    output_tokens: int | None = candidates + thoughts
    input_tokens = get(_INPUT)
    if total is None:
        return (
            (None if input_tokens is None else input_tokens + tools),
            output_tokens,
            thoughts,
            True,
        )
    if input_tokens is None:
        rest = total - candidates - thoughts
        told = _OUTPUT in counts and rest >= tools
        return (rest if told else None), output_tokens, thoughts, True
    input_tokens += tools
    if total - input_tokens >= max(candidates, thoughts):
        return input_tokens, total - input_tokens, thoughts, True
    return input_tokens, output_tokens, thoughts, False


def _cache_writes(counts: Mapping[Field, int]) -> tuple[int, int, bool]:
    """Return five-minute writes, one-hour writes, and whether the split agrees with the sum.

    Anthropic's last event may raise the sum without repeating the split. The difference then
    belongs to the kind that the split named, if it named one; else to five minutes, which is
    Anthropic's default and what other providers price alike.
    """
    write_5m, write_1h = counts.get(_CACHE_WRITE_5M, 0), counts.get(_CACHE_WRITE_1H, 0)
    total = counts.get(_CACHE_WRITE, write_5m + write_1h)
    if total < write_5m + write_1h:
        return total, 0, False
    if write_1h and not write_5m:
        return 0, total, True
    return total - write_1h, write_1h, True

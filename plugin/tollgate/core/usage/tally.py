"""Merge what the documents of one reply report into one result."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from tollgate.core.calls.usage import Certainty, Pass, Usage
from tollgate.core.limits.accounts import MAX_EXACT
from tollgate.core.usage.apis.api import NAMES, Api, Field, Meaning
from tollgate.core.usage.counts import DAMAGED, Counts, count, extract, merge, sound_counts
from tollgate.core.usage.meaning import Total, normalise
from tollgate.core.usage.passes import image_pass, passes_of, with_pass_beside, with_passes
from tollgate.core.usage.reading import NOTHING_SEEN, Reading, Seen

_MAX_NAME_CHARACTERS = 256
# Anthropic's names for the default speed and service tier.
_ORDINARY = ("standard", "default")
# https://docs.cloud.google.com/vertex-ai/generative-ai/docs/provisioned-throughput/use-provisioned-throughput
_PROVISIONED = "PROVISIONED_THROUGHPUT"
# Enum members are slow to look up, and every reply needs these.
_EXACT, _PARTIAL = Certainty.EXACT, Certainty.PARTIAL
_INPUT, _OUTPUT, _TOTAL, _SEARCHES = Field.INPUT, Field.OUTPUT, Field.TOTAL, Field.SEARCHES
# Units that may be counted instead of tokens.
_UNITS = frozenset({Field.AUDIO_SECONDS, Field.PAGES})
# Kept apart: most models that draw report tokens, and are charged by them.
_IMAGES = Field.IMAGES
_MODEL, _SERVICE_TIER, _GEOGRAPHY = Field.MODEL, Field.SERVICE_TIER, Field.GEOGRAPHY
_SEARCH_CONTEXT = Field.SEARCH_CONTEXT
_COSTS = frozenset({Field.COST, Field.COST_TICKS, Field.COST_UPSTREAM, Field.OWN_KEY})
# Counts that are not tokens of the call's own model.
_APART = _COSTS | {Field.IMAGE_TOOL_INPUT, Field.IMAGE_TOOL_OUTPUT}


class Tally:
    """Counts by field; within a reply they only grow."""

    def __init__(self, api: Api, headers: Mapping[str, str], *, stream: bool) -> None:
        self.done = False
        self.stream = stream
        self._api = api
        self._counts: Counts = {}
        self._early: Counts = {}
        self._names: dict[Field, str] = {}
        self._passes: tuple[Pass, ...] = ()
        self._images = 0
        self._final = False
        self._seen = False
        self._unsound = False
        for field, header in api.headers.items():
            if header in headers and field in NAMES:
                self._names[field] = headers[header][:_MAX_NAME_CHARACTERS]
            elif header in headers:
                self.take({field: count(field, headers[header])}, {}, early=False)

    def read(self, document: object) -> bool:
        """Add what one document reports. Return True if it reported counts."""
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
            if root.stream_only and not self.stream:
                continue
            for base in root.path.values_in(document):
                counts = extract(api, base)
                if _IMAGES in counts:
                    self._images = max(self._images, counts.pop(_IMAGES) or 0)
                if counts or (api.zeros_omitted and self._final):
                    self.take(counts, self._find_names(base), early=root.early)
                    self._read_passes(base)
                    return True
        return False

    def take(self, counts: Counts, names: Mapping[Field, str], *, early: bool) -> None:
        """Add what was found in one place.

        Later names replace earlier ones: a provider may begin on one service tier and charge
        another. `early`: the place belongs to the beginning of a stream, so the output is not
        final.
        """
        self._names |= names
        if early and _OUTPUT in counts:
            merge(self._early, {_OUTPUT: counts.pop(_OUTPUT)})
        if self._counts:
            merge(self._counts, counts)
        else:
            self._counts = counts
        self._seen = True

    def take_passes(self, items: Sequence[object]) -> None:
        """Take a list of passes; a longer list replaces a shorter one."""
        found = passes_of(self._api, items)
        if found is None:
            self._unsound = True
        elif len(found) >= len(self._passes):
            self._passes = found

    @property
    def tells_output(self) -> bool:
        """Return whether an output was reported after the first event of a stream."""
        return (self._counts.get(_OUTPUT) or 0) > 0

    def reading(self, see: Callable[[], Seen], *, broken: bool) -> Reading:
        """Return what is known.

        `see` tells what was shown; it is called only if counts alone do not say what to charge.
        `broken`: the body could not be read to its end, so more may have been reported.
        """
        if self._api.free:
            return Reading(Usage(), input_told=True, output_told=True)
        if not self._seen:
            return Reading(seen=see(), images=self._images)
        final = (self.done or not self._api.final or self._final) and not (broken and not self.done)
        if final and not (self._early or self._passes or self._unsound):
            usage = exact_usage(self._counts, self._names, self._api.meaning)
            if usage is not None:
                return Reading(usage, input_told=True, output_told=True, images=self._images)
        counts = sound_counts(self._counts)
        total = normalise(counts, self._api.meaning)
        input_told, output_told = self._told(counts, total, final=final)
        seen = NOTHING_SEEN
        if not (input_told and output_told and total.tokens.get("output_tokens")):
            seen = see()
            # A zero beside text is wrong; an embedding has no output to report.
            heard = _OUTPUT not in counts and not _UNITS.isdisjoint(counts)
            output_told = (output_told or (final and seen.shown and not seen.output_tokens)) and (
                heard or not seen.output_tokens or bool(total.tokens.get("output_tokens"))
            )
        usage = self._usage(total, counts)
        sound = total.sound and not self._unsound and DAMAGED not in self._counts.values()
        if not (sound and input_told and output_told and final):
            usage = replace(usage, certainty=_PARTIAL)
        return Reading(usage, input_told, output_told, seen, self._images)

    def _told(self, counts: Mapping[Field, int], total: Total, *, final: bool) -> tuple[bool, bool]:
        """Return whether input and output were reported, judging by the counts.

        An input of zero is wrong unless the API omits zeros.
        """
        api, every = self._api, self._counts
        heard = _OUTPUT not in api.needs and not _UNITS.isdisjoint(counts)
        # An API without output counts may count the documents that it ranked instead.
        heard = heard or (_SEARCHES in counts and _OUTPUT not in api.where)
        input_told = (
            bool(total.tokens.get("input_tokens")) or heard or (api.zeros_omitted and final)
        )
        output_told = (total.output_told or _OUTPUT not in api.needs) and final
        return input_told and every.get(_INPUT) != DAMAGED, output_told and every.get(
            _OUTPUT
        ) != DAMAGED

    def _usage(self, total: Total, counts: Mapping[Field, int]) -> Usage:
        tokens, names = dict[str, Any](total.tokens), self._names
        early = self._early.get(_OUTPUT)
        if early is not None and early > tokens.get("output_tokens", 0):
            tokens["output_tokens"] = early
        tier = names.get(_SERVICE_TIER)
        usage = Usage(
            **tokens,
            reply_model=names.get(_MODEL),
            service_tier=tier,
            geography=names.get(_GEOGRAPHY),
        )
        if tier == _PROVISIONED:
            usage = replace(usage, provisioned=True)
        if _SEARCH_CONTEXT in names:
            usage = replace(usage, search_context=names[_SEARCH_CONTEXT])
        if not _COSTS.isdisjoint(counts):
            usage = replace(usage, told_nanousd=_told_cost(counts))
        if self._passes:
            usage = with_passes(usage, self._passes)
        if (drawn := image_pass(counts, names.get(Field.IMAGE_TOOL_MODEL))) is not None:
            usage = with_pass_beside(usage, drawn)
        return usage

    def _find_names(self, base: object) -> dict[Field, str]:
        found = {}
        for field, paths in self._api.layout.names:
            told: list[object] = []
            for path in paths:
                told += path.values_in(base)
            if told and (chosen := choose(told)) is not None:
                found[field] = chosen
        return found

    def _read_passes(self, base: object) -> None:
        path = self._api.passes
        if path is not None and (items := path.values_in(base)):
            self.take_passes(items)


def exact_usage(counts: Counts, names: Mapping[Field, str], meaning: Meaning) -> Usage | None:
    """Return the usage of a whole reply that reports an input and an output, and whose counts are
    tokens that agree with each other; None if there is more to consider.

    Most replies are like that, and for them the general rules come to this.
    """
    tier = names.get(_SERVICE_TIER)
    if tier == _PROVISIONED or _SEARCH_CONTEXT in names or not _APART.isdisjoint(counts):
        return None
    tokens = _tokens(counts, meaning)
    if tokens is None:
        return None
    return Usage(
        **tokens, reply_model=names.get(_MODEL), service_tier=tier, geography=names.get(_GEOGRAPHY)
    )


def _tokens(counts: Counts, meaning: Meaning) -> dict[str, Any] | None:
    """Return counts by their names in `Usage`; None if input or output is missing, or one of the
    counts is damaged or disagrees with others.
    """
    input_tokens, output_tokens = counts.get(_INPUT), counts.get(_OUTPUT)
    if not input_tokens or not output_tokens:
        return None
    told = [each for each in counts.values() if each]  # a null is as good as a zero
    used, total = input_tokens + output_tokens, counts.get(_TOTAL)
    if min(told) < 0 or used > MAX_EXACT:
        return None
    if total in (None, used) and len(told) == (2 if total is None else 3):
        # Nothing but zeros beside them: every meaning has them as they are.
        return {"input_tokens": input_tokens, "output_tokens": output_tokens}
    if max(told) > MAX_EXACT:
        return None
    found = normalise(sound_counts(counts), meaning)
    if not (found.sound and found.output_told and found.tokens.get("input_tokens")):
        return None
    return found.tokens if found.tokens.get("output_tokens") else None


def choose(found: Sequence[object]) -> str | None:
    """Return the first name that one document reports for a fact, preferring one that is not the
    default.
    """
    chosen: str | None = None
    for name in found:
        if not isinstance(name, str) or not 0 < len(name) <= _MAX_NAME_CHARACTERS:
            continue
        if chosen is None or (chosen in _ORDINARY and name not in _ORDINARY):
            chosen = name
    return chosen


def _told_cost(counts: Mapping[Field, int]) -> int | None:
    """Return the cost that the provider reports, in nano-dollars.

    Includes what is charged to the caller's own account behind the provider.
    """
    told = counts.get(Field.COST, counts.get(Field.COST_TICKS))
    if told is None or not counts.get(Field.OWN_KEY):
        return told
    return told + counts.get(Field.COST_UPSTREAM, 0)

"""What a call used: counts by kind, and how sure they are. Frozen values."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class Certainty(StrEnum):
    """How sure we are of a usage; `expired` is a lease that ran out, charged as held."""

    EXACT = "exact"
    PARTIAL = "partial"
    ESTIMATED = "estimated"
    EXPIRED = "expired"
    NONE = "none"


class Counts(Struct, frozen=True, gc=False):
    """What a call used, by kind. Every kind of count stands here and nowhere else.

    Within `input_tokens`: `cache_*`, `input_audio_tokens`, `input_image_tokens`,
    `input_video_tokens`. Within `cache_read_tokens`, and within the part that it names:
    `cache_read_audio_tokens`, `cache_read_image_tokens`. Within `output_tokens`:
    `reasoning_tokens`, `output_audio_tokens`, `output_image_tokens`, `output_video_tokens`. Beside
    tokens, charged as fees where they have a price:

    - `citation_tokens`: text of sources that Perplexity read for the model, in neither sum.
    - `searches`: queries or calls of web search that the provider charges for; a grounded prompt
      of Gemini that tells no query is one.
    - `map_searches`: prompts that were grounded in Google Maps.
    - `sources`: pages that xAI's live search used.
    - `file_searches`: calls of OpenAI's file search.
    - `code_containers`: containers in which OpenAI's code interpreter ran.
    - `image_calls`: pictures that a hosted tool drew; their tokens, where told, are a `Pass`.
    - `audio_seconds`: seconds of sound that were heard, rounded up.
    - `pages`: pages of documents that were read.
    - `characters`: of text that was spoken, as the request tells them.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_5m_tokens: int = 0
    cache_write_1h_tokens: int = 0
    reasoning_tokens: int = 0
    input_audio_tokens: int = 0
    output_audio_tokens: int = 0
    input_image_tokens: int = 0
    output_image_tokens: int = 0
    searches: int = 0
    audio_seconds: int = 0
    input_video_tokens: int = 0
    output_video_tokens: int = 0
    cache_read_audio_tokens: int = 0
    cache_read_image_tokens: int = 0
    citation_tokens: int = 0
    map_searches: int = 0
    sources: int = 0
    file_searches: int = 0
    code_containers: int = 0
    image_calls: int = 0
    pages: int = 0
    characters: int = 0

    @property
    def total_tokens(self) -> int:
        """What token limits count: input and output together."""
        return self.input_tokens + self.output_tokens


class Pass(Counts, frozen=True, gc=False, omit_defaults=True):
    """One run of a model within a call that took several, billed by itself.

    `model`: which one; None is the call's own. `kind`: what the provider calls the pass
    (`compaction`, `message`, `advisor_message`, `image_generation`, ...).
    """

    model: str | None = None
    kind: str = ""


class Told(Counts, frozen=True, gc=False):
    """Counts of one call, and what else the reply told that decides its price.

    `passes`: runs of models that are billed one by one; the counts above include theirs, so what is
    left after taking the passes away is billed as the call's own. `reply_model`, `service_tier`: as
    the reply names them (a speed out of the ordinary, such as Anthropic's `fast`, stands in
    `service_tier`). `geography`: where it ran, if told (Anthropic's `us`).
    `provisioned`: served by throughput that is paid by the month, so tokens cost nothing.
    `told_nanousd`: what the provider says that the call cost; None: it said nothing that can be
    read.
    `search_context`: how much a search may read (`low`, `medium`, `high`), if told.
    """

    reply_model: str | None = None
    service_tier: str | None = None
    passes: tuple[Pass, ...] = ()
    geography: str | None = None
    provisioned: bool = False
    told_nanousd: int | None = None
    search_context: str | None = None


class Usage(Told, frozen=True, gc=False):
    """What a call used, and how sure we are."""

    certainty: Certainty = Certainty.EXACT


NO_USAGE = Usage(certainty=Certainty.NONE)

"""Define usage: what a call used, by kind, and how certain the counts are."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class Certainty(StrEnum):
    """How certain a usage is.

    - `exact`: completely reported, consistent and priced.
    - `partial`: cut, or with parts missing, damaged or unpriced.
    - `estimated`: the reply is complete, but reported no usage or was not read.
    - `expired`: the lease ran out; charged as held.
    - `none`: nothing was used.
    """

    EXACT = "exact"
    PARTIAL = "partial"
    ESTIMATED = "estimated"
    EXPIRED = "expired"
    NONE = "none"


class Counts(Struct, frozen=True, gc=False):
    """What a call used, by kind. This is the only list of kinds.

    Included in `input_tokens`: `cache_*`, `input_audio_tokens`, `input_image_tokens`,
    `input_video_tokens`. Included in `cache_read_tokens`, and in the part they name:
    `cache_read_audio_tokens`, `cache_read_image_tokens`. Included in `output_tokens`:
    `reasoning_tokens`, `output_audio_tokens`, `output_image_tokens`, `output_video_tokens`.

    Besides tokens, charged as fees if they have a price:

    - `citation_tokens`: text of sources that Perplexity read for the model, in neither sum.
    - `searches`: web searches that the provider charges for; a grounded prompt of Gemini without
      reported queries counts as one.
    - `map_searches`: prompts grounded in Google Maps.
    - `sources`: pages that xAI's live search used.
    - `file_searches`: calls of OpenAI's file search.
    - `code_containers`: containers of OpenAI's code interpreter.
    - `image_calls`: pictures drawn by a hosted tool; their tokens, if reported, are a `Pass`.
    - `audio_seconds`: seconds of sound that were heard, rounded up.
    - `pages`: pages of documents that were read.
    - `characters`: text that was spoken, counted from the request.
    - `output_images`: pictures that were drawn, where the model is priced by them.
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
    output_images: int = 0

    @property
    def total_tokens(self) -> int:
        """Return input plus output, which is what token limits count."""
        return self.input_tokens + self.output_tokens


class Pass(Counts, frozen=True, gc=False, omit_defaults=True):
    """A run of a model within a call of several, billed separately.

    `model`: None means the call's own. `kind`: the provider's name for the pass (`compaction`,
    `message`, `advisor_message`, `image_generation`, ...).
    """

    model: str | None = None
    kind: str = ""


class Told(Counts, frozen=True, gc=False):
    """Counts of a call, plus everything in the reply that affects its price.

    - `passes`: runs of models billed separately. The counts include them; the remainder is billed
      as the call's own.
    - `reply_model`, `service_tier`: as the reply names them. A non-default speed, such as
      Anthropic's `fast`, is given as `service_tier`.
    - `geography`: where the call ran, if reported (Anthropic's `us`).
    - `provisioned`: served by throughput paid by the month, so tokens cost nothing.
    - `told_nanousd`: the cost that the provider reports; None if absent or unreadable.
    - `search_context`: how much a search may read (`low`, `medium`, `high`), if reported.
    """

    reply_model: str | None = None
    service_tier: str | None = None
    passes: tuple[Pass, ...] = ()
    geography: str | None = None
    provisioned: bool = False
    told_nanousd: int | None = None
    search_context: str | None = None


class Usage(Told, frozen=True, gc=False):
    """What a call used, and how certain that is."""

    certainty: Certainty = Certainty.EXACT


NO_USAGE = Usage(certainty=Certainty.NONE)

"""Define what a reply reported and what it showed, which is all that a charge is made of."""

from __future__ import annotations

from msgspec import Struct

from tollgate.core.calls.usage import Usage


class Seen(Struct, frozen=True, gc=False):
    """The output that a reply showed; tokens are rough unless the model's tokenizer is known.

    - `shown`: whether there was any output. Vectors are output without tokens.
    - `output_tokens`: includes pictures and sound; a lower bound if nobody looked.
    - `most_tokens`: the upper bound if nobody looked.
    """

    shown: bool = False
    output_tokens: int = 0
    picture_tokens: int = 0
    sound_tokens: int = 0
    most_tokens: int = 0


NOTHING_SEEN = Seen()


def see_nothing() -> Seen:
    """Return the value for a reply that nobody looked at."""
    return NOTHING_SEEN


class Reading(Struct, frozen=True, gc=False):
    """What is known of one reply.

    - `usage`: what it reported; None for nothing. Exact only if it was reported completely and is
      consistent.
    - `input_told`, `output_told`: whether the counts of that direction are final and plausible;
      otherwise those in `usage` are a lower bound.
    - `images`: pictures that the reply holds; 0 where nothing counts them.
    """

    usage: Usage | None = None
    input_told: bool = False
    output_told: bool = False
    seen: Seen = NOTHING_SEEN
    images: int = 0


NOTHING_READ = Reading()

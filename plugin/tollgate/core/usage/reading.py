"""What a reply told of its usage, and what it showed: all that a charge is made of."""

from __future__ import annotations

from msgspec import Struct

from tollgate.core.calls.usage import Usage


class Seen(Struct, frozen=True, gc=False):
    """The output that a reply showed. Tokens are rough, unless the model's own tokenizer is known.

    `shown`: whether there was any; vectors are output without tokens. `output_tokens` includes
    pictures and sound.
    `most_tokens`: where nobody looked, and `output_tokens` is what there was at least.
    """

    shown: bool = False
    output_tokens: int = 0
    picture_tokens: int = 0
    sound_tokens: int = 0
    most_tokens: int = 0


NOTHING_SEEN = Seen()


def see_nothing() -> Seen:
    """Return what a reply shows that nobody looks at."""
    return NOTHING_SEEN


class Reading(Struct, frozen=True, gc=False):
    """What is known of one reply.

    `usage`: what it told, None for nothing; its certainty is exact when it was told whole and in
    itself holds together. `input_told`, `output_told`: whether the counts of a direction are final
    and can be right; if not, those in `usage` are a lower bound.
    """

    usage: Usage | None = None
    input_told: bool = False
    output_told: bool = False
    seen: Seen = NOTHING_SEEN


NOTHING_READ = Reading()

"""Complete a usage by what was measured of the request: its text, its sound, its pictures."""

from __future__ import annotations

from msgspec.structs import replace

from tollgate.core.calls.asked_pictures import AskedPictures
from tollgate.core.calls.reservation import Reservation
from tollgate.core.calls.usage import NO_USAGE, Certainty, Counts, Usage
from tollgate.core.money.pricing import Price
from tollgate.core.usage.reading import Reading


def measured(usage: Usage, reservation: Reservation, price: Price | None) -> Usage:
    """Return a usage completed by what was measured of the request, if the reply
    did not report it.
    """
    characters, audio_seconds = reservation.characters, reservation.audio_seconds
    pictures = reservation.pictures
    if (
        not (characters or audio_seconds or pictures is not None)
        or usage.certainty is Certainty.NONE
    ):
        return usage
    if characters and not usage.characters:
        usage = replace(usage, characters=characters)
    if audio_seconds and not usage.audio_seconds:
        usage = replace(usage, audio_seconds=audio_seconds, certainty=_estimated(usage))
    if pictures is not None:
        usage = _with_pictures(usage, pictures.count, reservation.input_tokens, price)
    return usage


def with_tier(usage: Usage, reservation: Reservation) -> Usage:
    """Return a usage on the service tier that was asked for, where the reply did not come so far as
    to report one.
    """
    if (
        not reservation.service_tier
        or usage.service_tier is not None
        or usage.certainty is Certainty.EXACT
    ):
        return usage
    return replace(usage, service_tier=reservation.service_tier)


def _with_pictures(usage: Usage, count: int, input_tokens: int, price: Price | None) -> Usage:
    """Return a usage with all pictures that were asked for, where nobody could count them, and with
    the prompt's tokens where they cost something.
    """
    if not usage.output_images and usage.certainty is not Certainty.EXACT:
        usage = replace(usage, output_images=count)
    if price is not None and price.tiers[0].input and not usage.input_tokens:
        usage = replace(usage, input_tokens=input_tokens, certainty=_estimated(usage))
    return usage


def _estimated(usage: Usage) -> Certainty:
    return Certainty.ESTIMATED if usage.certainty is Certainty.EXACT else usage.certainty


def drawn(asked: AskedPictures, reading: Reading, status: int, *, complete: bool) -> Usage:
    """Return what to charge for a reply of pictures: those that it holds.

    All that were asked for where it was cut, since the provider has drawn them, or where it cannot
    be read. A complete reply without pictures costs nothing.
    """
    told, seen = reading.usage, reading.seen
    if status >= 400:
        return NO_USAGE
    if not complete:
        images = max(reading.images, asked.count)
        return replace(told or NO_USAGE, output_images=images, certainty=Certainty.PARTIAL)
    if reading.images:
        return replace(told or NO_USAGE, output_images=reading.images, certainty=Certainty.EXACT)
    if seen.shown or (told is not None and told.output_tokens):
        return replace(told or NO_USAGE, output_images=asked.count, certainty=Certainty.ESTIMATED)
    if told is not None and reports_any(told):
        return told
    return NO_USAGE


def reports_any(usage: Usage) -> bool:
    """Return whether a usage reports anything."""
    return usage.told_nanousd not in (None, 0) or any(
        getattr(usage, kind) for kind in Counts.__struct_fields__
    )

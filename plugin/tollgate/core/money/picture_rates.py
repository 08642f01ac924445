"""Define prices of pictures, which may depend on quality, size and steps of diffusion.

The form of the names is LiteLLM's: `hd/1024-x-1792/dall-e-3` is the price of one picture of
dall-e-3 in that quality and size (https://github.com/BerriAI/litellm,
model_prices_and_context_window.json).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from tollgate.core.calls.asked_pictures import AskedPictures, pixels_of

_SIZE = re.compile(r"(\d{2,5})-x-(\d{2,5})")
_ABOVE = re.compile(r"above-(\d{2,5})-x-(\d{2,5})")
_STEPS = re.compile(r"(\d{1,4})-steps")
_MOST_SIZE, _MOST_STEPS = "max-x-max", "max-steps"
# No served API draws larger pictures.
_MOST_PIXELS = 4096 * 4096


@dataclass(frozen=True, slots=True)
class PictureKind:
    """The pictures that one price applies to; an empty field means any.

    - `quality`, `size`: as `AskedPictures` has them.
    - `above_pixels`: of pictures with more pixels. `most_steps`: with at most so many steps.
    - `by_pixel`: the price is that of a pixel.
    """

    quality: str = ""
    size: str = ""
    above_pixels: int = 0
    most_steps: int = 0
    by_pixel: bool = False

    @property
    def demands(self) -> int:
        """Return on how many properties of a picture the price depends."""
        return sum(map(bool, (self.quality, self.size, self.above_pixels, self.most_steps)))

    def applies(self, asked: AskedPictures) -> bool | None:
        """Return whether the price is for such pictures; None if what is asked does not tell."""
        answers = list(self._answers(asked))
        if False in answers:
            return False
        return None if None in answers else True

    def _answers(self, asked: AskedPictures) -> Iterator[bool | None]:
        if self.quality:
            yield asked.quality == self.quality if asked.quality else None
        if self.size:
            yield asked.size == self.size if asked.size else None
        if self.above_pixels:
            pixels = asked.pixels
            yield None if pixels is None else pixels > self.above_pixels
        if self.most_steps:
            yield asked.steps <= self.most_steps if asked.steps else None

    def __str__(self) -> str:
        """Return the kind in words; empty for any picture."""
        words = [self.quality, self.size]
        if self.above_pixels:
            words.append(f"above {self.above_pixels} pixels")
        if self.most_steps:
            words.append(f"up to {self.most_steps} steps")
        return " ".join(filter(None, words))


PictureCosts = Mapping[PictureKind, Decimal]
"""Dollars per picture, or per pixel, by the pictures that they apply to."""


@dataclass(frozen=True, slots=True)
class PictureRate:
    """Femto-dollars of one picture, or of one of its pixels, and what pictures these are."""

    kind: PictureKind
    femtousd: int

    def each_femtousd(self, asked: AskedPictures) -> int:
        """Return the femto-dollars of one of the pictures; of unknown size: of the largest."""
        if not self.kind.by_pixel:
            return self.femtousd
        return self.femtousd * (pixels_of(self.kind.size) or asked.pixels or _MOST_PIXELS)


def picture_femtousd(rates: Sequence[PictureRate], asked: AskedPictures) -> int:
    """Return the femto-dollars of one picture: by the price that depends on most of what is asked.

    Where what is asked does not tell which of several prices applies, or no price is for it, the
    dearest of those that may apply.
    """
    fitting = [
        (each, applies) for each in rates if (applies := each.kind.applies(asked)) is not False
    ]
    least = max((each.kind.demands for each, applies in fitting if applies), default=0)
    possible = [each for each, _ in fitting if each.kind.demands >= least] or rates
    return max(each.each_femtousd(asked) for each in possible)


def is_size_needed(rates: Sequence[PictureRate], asked: AskedPictures) -> bool:
    """Return whether pictures cannot be priced since nothing tells their pixels."""
    return asked.pixels is None and any(
        each.kind.by_pixel and each.femtousd and not pixels_of(each.kind.size) for each in rates
    )


def parse_picture_kind(selectors: Sequence[str]) -> PictureKind | None:
    """Return the pictures that the selectors of a price's name stand for, as `hd`, `1024-x-1792`.

    None if they stand for none. `max-x-max` and `max-steps` are what no other price is for.
    """
    quality, size, above_pixels, most_steps = "", "", 0, 0
    for each in selectors:
        if match := _SIZE.fullmatch(each):
            size = f"{int(match[1])}x{int(match[2])}"
        elif match := _ABOVE.fullmatch(each):
            above_pixels = int(match[1]) * int(match[2])
        elif match := _STEPS.fullmatch(each):
            most_steps = int(match[1])
        elif each not in (_MOST_SIZE, _MOST_STEPS):
            if quality:
                return None
            quality = each.lower()
    return PictureKind(quality, size, above_pixels, most_steps)


def split_picture_name(name: str, provider: str) -> tuple[str, PictureKind] | None:
    """Split an entry's name in LiteLLM's file into the model, with its provider if it is named, and
    the pictures that the entry prices; None if the name selects no pictures.

    `provider`: that of the entry.
    """
    parts = name.split("/")
    at = next((n for n, part in enumerate(parts) if _is_size(part)), None)
    if at is None:
        return None
    before, after = parts[:at], parts[at:]
    owner = [before.pop(0)] if before and before[0] == provider else []
    end = next((n for n, part in enumerate(after) if not (_is_size(part) or _is_steps(part))), None)
    if end is None or len(before) > 1:
        return None
    kind = parse_picture_kind([*before, *after[:end]])
    return None if kind is None else ("/".join([*owner, *after[end:]]), kind)


def _is_size(part: str) -> bool:
    return part == _MOST_SIZE or _SIZE.fullmatch(part) is not None


def _is_steps(part: str) -> bool:
    return part == _MOST_STEPS or _STEPS.fullmatch(part) is not None

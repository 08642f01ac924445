"""Define the pictures that a request asks for, where its model is priced by the picture."""

from __future__ import annotations

import re

from msgspec import Struct

_SIZE = re.compile(r"([1-9][0-9]{0,4})x([1-9][0-9]{0,4})")


class AskedPictures(Struct, frozen=True, array_like=True, gc=False):
    """The pictures of one request; an empty field is not known.

    - `count`: how many may be drawn.
    - `quality`: the provider's word (`hd`, `premium`). `size`: as `1024x1792`, or the provider's
      word (`2k`). Both in lower case.
    - `steps`: of diffusion.
    """

    count: int
    quality: str = ""
    size: str = ""
    steps: int = 0

    @property
    def pixels(self) -> int | None:
        """Return the pixels of one picture; None if they are not known."""
        return pixels_of(self.size)


def pixels_of(size: str) -> int | None:
    """Return the pixels of a size as `1024x1792`; None for any other text."""
    match = _SIZE.fullmatch(size)
    return None if match is None else int(match[1]) * int(match[2])

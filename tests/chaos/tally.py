"""What the provider really served, call by call: in a file, so that it outlives a provider that is
killed.
"""

from __future__ import annotations

import mmap
from pathlib import Path

_MOST_CALLS = 100_000
# Two numbers of 32 bits for each call: how often it reached the provider, and the words that the
# provider sent.
_NUMBERS, _NUMBER_BYTES = 2, 4


class Tally:
    """Written by the provider and read by whoever judges, at the same time.

    Calls are numbered from 0.
    """

    def __init__(self, file: Path) -> None:
        """Open the file, or make it."""
        with file.open("ab") as opened:
            opened.truncate(_MOST_CALLS * _NUMBERS * _NUMBER_BYTES)
        with file.open("r+b") as opened:
            self._numbers = memoryview(mmap.mmap(opened.fileno(), 0)).cast("I")

    def reached(self, call: int) -> None:
        """The provider has read the request of a call."""
        self._numbers[call * _NUMBERS] += 1

    def said(self, call: int, words: int) -> None:
        """The provider has sent words."""
        self._numbers[call * _NUMBERS + 1] += words

    def times(self, call: int) -> int:
        """How often a call has reached the provider."""
        return self._numbers[call * _NUMBERS]

    def words(self, call: int) -> int:
        """How many words the provider has sent for a call, all times together."""
        return self._numbers[call * _NUMBERS + 1]

"""What a benchmark raises when its figures would mean nothing."""

from __future__ import annotations


class BenchFailed(Exception):
    """A run cannot be trusted, or cannot be made.

    The message is a sentence for whoever started it.
    """

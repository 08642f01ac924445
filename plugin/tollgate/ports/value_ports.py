"""The port of values that requests choose and that are told apart."""

from __future__ import annotations

from typing import Protocol


class ValueBook(Protocol):
    """Values of dimensions that nobody registered. Errors are core.errors.StoreUnavailable."""

    async def remember(self, dimension: str, value: str, most: int, kept_us: int) -> bool:
        """Remember a value for so long from now, and return True.

        False if it is new and as many as `most` values of the dimension are remembered.
        """
        ...

"""Check the store before the processes start."""

from __future__ import annotations

from collections.abc import Callable

from tollgate.adapters.valkey.connection.address import StoreAddress
from tollgate.adapters.valkey.connection.survey import survey


def check_url(url: str) -> None:
    """Raise SettingsError, with one sentence, for a URL that cannot be used."""
    StoreAddress.of(url)


async def meet_store(url: str, say: Callable[[str], None]) -> None:
    """Wait for the store and print its risks. Raises SettingsError if it cannot be used."""
    for risk in await survey(url, say):
        say(f"warning: {risk}")

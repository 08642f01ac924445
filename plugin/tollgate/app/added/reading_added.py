"""Read the models that were added over the API, before the processes start that serve them."""

from __future__ import annotations

import asyncio
import sys
from time import monotonic

from tollgate.adapters.valkey.connection.client import connect
from tollgate.adapters.valkey.entities.registry import ValkeyRegistry
from tollgate.core.errors import StoreUnavailable
from tollgate.management.models.added_models import added_entries
from tollgate.snapshot import Snapshot

# Nobody waits for an answer yet.
_PATIENCE_S = 5.0
_AGAIN_S = 0.5
_SAY_AGAIN_S = 10.0


async def read_added(redis_url: str, snapshot: Snapshot) -> None:
    """Write the models of the store into their file, as soon as the store can be read."""
    client, said_s = connect(redis_url, _PATIENCE_S), -_SAY_AGAIN_S
    try:
        while True:
            try:
                snapshot.write_added(await added_entries(ValkeyRegistry(client)))
                return
            except StoreUnavailable as error:
                if monotonic() - said_s >= _SAY_AGAIN_S:
                    print(f"waiting for the store: {error}", file=sys.stderr, flush=True)
                    said_s = monotonic()
            await asyncio.sleep(_AGAIN_S)
    finally:
        await client.aclose()

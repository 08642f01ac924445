"""Build what traces decisions and calls, where the configuration asks for traces."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from tollgate.app.base import Core
from tollgate.background import beside

if TYPE_CHECKING:
    from tollgate.adapters.otel.spans import CallSpans


def call_spans(core: Core) -> CallSpans | None:
    """Return what takes settled calls, and may take decisions; None: nothing is traced."""
    if not core.settings.tollgate.opentelemetry_traces:
        return None
    # Only with traces: the SDK takes memory.
    from tollgate.adapters.otel.spans import CallSpans

    spans = CallSpans(core.meter.deployment, core.clock, os.environ)
    core.meter.also_on_settled(spans.settled)
    return spans


@asynccontextmanager
async def exported(spans: CallSpans | None) -> AsyncIterator[None]:
    """Export beside the block, and what is left at its end."""
    if spans is None:
        yield
        return
    async with beside(spans.keep_exported()):
        yield
    await asyncio.to_thread(spans.close)

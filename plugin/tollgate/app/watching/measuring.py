"""Build what measures scopes and limits for metrics, as far as the configuration asks for it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tollgate.adapters.metric_files import (
    FullestLimitsCollector,
    FullestLimitsFile,
    SharedLabelNames,
)
from tollgate.adapters.valkey.entities.registry import ValkeyRegistry
from tollgate.admission.refusal_notes import Noted, payers_of
from tollgate.app.base import Core
from tollgate.background import beside
from tollgate.reporting.measuring.fullest_limits import FullestLimits
from tollgate.reporting.measuring.scope_counts import ScopeCounts
from tollgate.reporting.measuring.scope_labels import ScopeNames
from tollgate.settings import Settings

if TYPE_CHECKING:
    from tollgate.reporting.measuring.litellm_counts import LitellmCounts


def metrics_folder() -> Path | None:
    """Return the folder that the processes of a gateway count in; None: this one is alone."""
    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    return None if folder is None else Path(folder)


def fullest_limits_collector(settings: Settings) -> FullestLimitsCollector | None:
    """Return what tells the fullest limits that workers have found; None: nobody looks."""
    folder, most = metrics_folder(), settings.tollgate.metrics.fullest_limits
    return FullestLimitsCollector(folder, most) if folder is not None and most else None


@dataclass(frozen=True, slots=True)
class Measuring:
    """What measures; None: not asked for."""

    counts: ScopeCounts | None = None
    fullest: FullestLimits | None = None
    litellm: LitellmCounts | None = None

    @classmethod
    def of_worker(cls, core: Core) -> Measuring:
        """Measure what a worker settles and refuses."""
        folder, most = metrics_folder(), core.settings.tollgate.metrics.fullest_limits
        beside_admin, fullest = cls.of_admin(core), None
        if folder is not None and most:
            names = ScopeNames(ValkeyRegistry(core.client))
            file = FullestLimitsFile(folder)
            fullest = FullestLimits(core.counters, core.clock, names, file, most)
            core.meter.also_on_settled(fullest.meets)
        return cls(beside_admin.counts, fullest, beside_admin.litellm)

    @classmethod
    def of_admin(cls, core: Core) -> Measuring:
        """Measure what the admin server settles: calls whose lease has run out."""
        folder, metrics = metrics_folder(), core.settings.tollgate.metrics
        if folder is None or not (metrics.labels or metrics.litellm):
            return cls()
        names, counts = ScopeNames(ValkeyRegistry(core.client)), None
        if metrics.labels:
            book = SharedLabelNames(folder, metrics.labels)
            counts = ScopeCounts(names, book, metrics.labels)
            core.meter.also_on_settled(counts.settled)
        return cls(counts, litellm=_litellm_counts(core, names, folder))

    def refused(self, noted: Noted) -> None:
        """Measure a refusal."""
        if self.counts is not None:
            self.counts.refused(payers_of(noted))
        if self.litellm is not None:
            asked = noted.refusal.asked
            model = "" if asked is None else asked.model
            self.litellm.refused(payers_of(noted), model, noted.refusal.status)
        if self.fullest is not None and noted.refusal.asked is not None:
            self.fullest.meets(noted.refusal.asked)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Publish beside the block."""
        async with AsyncExitStack() as stack:
            if self.counts is not None:
                await stack.enter_async_context(beside(self.counts.keep_published()))
            if self.litellm is not None:
                await stack.enter_async_context(beside(self.litellm.keep_published()))
            if self.fullest is not None:
                await stack.enter_async_context(beside(self.fullest.keep_looking()))
            yield


def _litellm_counts(core: Core, names: ScopeNames, folder: Path) -> LitellmCounts | None:
    """Return what tells metrics by LiteLLM's names, if the configuration asks for them."""
    most = core.settings.tollgate.metrics.litellm
    if not most:
        return None
    # Importing it registers the metrics.
    from tollgate.reporting.measuring.litellm_counts import LABELS_OF, LitellmCounts

    book = SharedLabelNames(folder, {LABELS_OF: most})
    counts = LitellmCounts(names, book, core.counters, core.clock)
    core.meter.also_on_settled(counts.settled)
    return counts

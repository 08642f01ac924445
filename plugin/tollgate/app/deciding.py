"""What decides in a worker, and what its decisions need beside them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from tollgate.adapters.sound import TaggedSound
from tollgate.adapters.tokenizer import token_counters
from tollgate.adapters.valkey.alerts.alert_book import ValkeyAlertBook
from tollgate.adapters.valkey.counters.value_book import ValkeyValueBook
from tollgate.adapters.valkey.entities.directory import CachedDirectory
from tollgate.adapters.valkey.refusals.refusal_book import ValkeyRefusalBook
from tollgate.admission.admission import Admissions
from tollgate.admission.current import CurrentAdmissions, Decides
from tollgate.admission.refusal_notes import RefusalNotes
from tollgate.app.base import DAY_US, Core, new_id, terms
from tollgate.app.watching.alerting import alert_terms
from tollgate.app.watching.cooling_down import CoolingDown
from tollgate.app.watching.measuring import Measuring
from tollgate.app.watching.tracing import call_spans, exported
from tollgate.background import beside
from tollgate.core.requests.catalog import Catalog
from tollgate.metering.alert_watch import AlertWatch
from tollgate.reporting.measuring.traced_admissions import TracedAdmissions
from tollgate.settings import Settings


class Deciding:
    """Admission by the configuration in force, with its notes, alerts, measures and cooldowns.

    `token_counts`: tokenizers by deployment; empty unless the configuration asks for them.
    """

    def __init__(self, core: Core, directory: CachedDirectory) -> None:
        settings = core.settings
        self._core = core
        self._directory = directory
        self._sound = TaggedSound()
        self._measuring = Measuring.of_worker(core)
        refusal_book = ValkeyRefusalBook(core.pipe, settings.tollgate.ledger_days * DAY_US)
        self._refusal_notes = RefusalNotes(refusal_book, core.clock, self._measuring.refused)
        self._cooling_down = CoolingDown(core)
        self._admissions = CurrentAdmissions(self._admissions_by(settings, core.priced.catalog))
        self._spans = call_spans(core)
        self.decides: Decides = self._admissions
        if self._spans is not None:
            self.decides = TracedAdmissions(self._admissions, self._spans, core.clock)
        self._alert_watch = _alert_watch(core, directory)
        self.token_counts = (
            dict(token_counters(settings.deployments)) if settings.tollgate.tokenizer else {}
        )

    def follow(self, settings: Settings, catalog: Catalog) -> None:
        """Decide by a changed configuration from now on."""
        if self._alert_watch is not None and (told := alert_terms(settings)) is not None:
            self._alert_watch.reconfigure(told)
        if settings.tollgate.tokenizer:
            self.token_counts.update(token_counters(settings.deployments))
        self._admissions.replace(self._admissions_by(settings, catalog))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Write notes, publish measures, share cooldowns and watch limits beside the block."""
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(beside(self._refusal_notes.keep_written()))
            await stack.enter_async_context(self._measuring.running())
            await stack.enter_async_context(exported(self._spans))
            await stack.enter_async_context(beside(self._cooling_down.keep_shared()))
            if self._alert_watch is not None:
                await stack.enter_async_context(beside(self._alert_watch.keep_watching()))
            yield

    def _admissions_by(self, settings: Settings, catalog: Catalog) -> Admissions:
        core = self._core
        return Admissions(
            self._directory,
            core.counters,
            catalog,
            terms(settings),
            core.clock,
            new_id,
            core.estimates,
            core.meter.undo,
            core.hold_waits,
            self._sound,
            self._refusal_notes,
            ValkeyValueBook(core.pipe),
            self._cooling_down.by(settings),
        )


def _alert_watch(core: Core, directory: CachedDirectory) -> AlertWatch | None:
    """Return what watches limits; None: nobody is to be told of any."""
    told = alert_terms(core.settings)
    if told is None:
        return None
    book = ValkeyAlertBook(core.pipe)
    watch = AlertWatch(directory, core.counters, book, core.clock, told, new_id)
    core.meter.also_on_settled(watch.settled)
    return watch

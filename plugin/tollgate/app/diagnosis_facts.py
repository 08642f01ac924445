"""Gather what `tollgate doctor` asks the gateway about itself."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry

from tollgate import __version__
from tollgate.adapters.valkey.connection.pipe import Pipe
from tollgate.adapters.valkey.connection.probe import probe
from tollgate.adapters.valkey.connection.survey import survey
from tollgate.core.errors import SettingsError, StoreUnavailable
from tollgate.core.models.probe_model import PROBE_MODEL
from tollgate.settings import Settings

_ENVOYS, _RENEWED = "tollgate_envoy_access_logs", "tollgate_leases_renewed_total"


@dataclass(frozen=True, slots=True)
class DiagnosisFacts:
    """The gateway's own view.

    `pipe`: a connection to the store at `redis_url`. `metrics` returns those of all processes.
    """

    settings: Settings
    redis_url: str
    pipe: Pipe
    metrics: Callable[[], CollectorRegistry]

    async def facts(self) -> dict[str, Any]:
        """Return settings that Envoy has to agree with, the clocks, the store's risks, and the
        Envoys whose access logs are open.

        Times are in microseconds since 1970; `store_time_us` is None while the store is down.
        """
        ours = self.settings.tollgate
        samples = [
            sample
            for family in self.metrics().collect()
            for sample in family.samples
            if sample.name in (_ENVOYS, _RENEWED)
        ]
        try:
            store_time_us = await probe(self.pipe)
            risks = await survey(self.redis_url, lambda _: None)
        except (StoreUnavailable, SettingsError) as error:
            store_time_us, risks = None, [str(error)]
        return {
            "version": __version__,
            "envoy_version": ours.envoy_version,
            "max_request_bytes": ours.max_request_bytes,
            "lease_seconds": ours.lease_seconds,
            "decision_ms": ours.hold_wait_ms + 2 * ours.store_timeout_ms,
            "time_us": time.time_ns() // 1000,
            "store_time_us": store_time_us,
            "store_risks": risks,
            "envoys": {
                each.labels["version"]: int(each.value)
                for each in samples
                if each.name == _ENVOYS and each.value > 0
            },
            "probes_renewed": int(
                sum(
                    each.value
                    for each in samples
                    if each.name == _RENEWED and each.labels["model"] == PROBE_MODEL
                )
            ),
        }

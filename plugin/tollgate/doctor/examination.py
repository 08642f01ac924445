"""Run all checks in order; what needs an earlier one to hold is left out where it does not."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

from tollgate.core.answers.headers import REQUEST_ID
from tollgate.doctor import admission_checks as admission
from tollgate.doctor import reply_checks as replies
from tollgate.doctor import surroundings
from tollgate.doctor.finding import Finding, Result, fault, not_checked
from tollgate.doctor.probing import KEY_PLACES, ManagementFailed, Probing, Reply, decoys

_WRONG_KEY = "sk-tollgate-doctor-wrong"
_MIDDLING_BYTES = 256 * 1024
# Envoy's default timeout of a route is 15 seconds.
_LONG_STREAM_S = 17
_REPORTED_WITHIN_S = 4


@dataclass(frozen=True, slots=True)
class Extent:
    """How much is tried.

    - `quick`: no bodies of the most bytes, and no stream of half a minute.
    - `model`: one real call of it; empty: none.
    """

    quick: bool = False
    model: str = ""


@dataclass(slots=True)
class Examination:
    """One examination. `found` grows in the order of the checks."""

    probing: Probing
    extent: Extent
    found: list[Finding] = field(default_factory=list)
    facts: Mapping[str, Any] = field(default_factory=dict)

    async def run(self) -> list[Finding]:
        """Make all checks."""
        probing = self.probing
        unkeyed = await probing.call(key="")
        if unkeyed.status == 0:
            where = f"nobody answers at {probing.url}: {unkeyed.failure}"
            return [fault("reach", where, "start Envoy, or correct the address")]
        self.found.append(await surroundings.check_tls(probing.url))
        health = await probing.get("/health/readiness")
        self.found.append(surroundings.check_health(health))
        self.found.append(admission.check_no_key(unkeyed))
        refused = admission.check_admission(await probing.call(key=_WRONG_KEY))
        self.found.append(refused)
        if probing.master_key is None:
            self._skip("the rest", "it needs the master key")
            return self.found
        try:
            await self._administered(health, asked=refused.result is Result.OK)
        except ManagementFailed as error:
            fix = "give the right --master-key, or name the management API with --management"
            self.found.append(fault("management", f"the management API refuses: {error}", fix))
        return self.found

    def _skip(self, check: str, why: str) -> None:
        self.found.append(not_checked(check, why))

    async def _administered(self, health: Reply, *, asked: bool) -> None:
        self.facts = await self.probing.ask("GET", "/health/diagnosis")
        self.found.append(surroundings.check_clocks(self.facts, health))
        self.found += surroundings.check_store(self.facts)
        if not asked:
            self._skip("the rest", "ext_authz has to ask Tollgate first")
            return
        async with AsyncExitStack() as stack:
            if not self.probing.key:
                models = (self.extent.model,) if self.extent.model else ()
                await stack.enter_async_context(self.probing.made_key(*models))
            await self._probed()

    async def _probed(self) -> None:
        headers = {**decoys(), **admission.FOREIGN_HEADERS, "cookie": "a=b"}
        headers["accept-encoding"] = "gzip"
        first = await self.probing.call(headers=headers)
        self.found += admission.check_call(first)
        if first.arrived is None:
            self._skip("the rest", "a call with a good key has to reach its provider first")
            return
        self.found.append(admission.check_client_replies(first))
        self.found.append(admission.check_held_once(await self.probing.admitted_requests()))
        long_s = max(_LONG_STREAM_S, self.facts["lease_seconds"] // 3 + _REPORTED_WITHIN_S)
        renewed_before = self.facts["probes_renewed"]
        keyed = await self._keyed()
        stream, error, late, bodies, (long_stream, quiet), _ = await asyncio.gather(
            self.probing.call("stream", seconds=1, stream=True),
            self.probing.call("error"),
            self.probing.late(),
            self._bodies(),
            self._slow(long_s),
            self.probing.abandon(),
        )
        self.found.append(admission.check_key_headers(keyed))
        self.found += admission.check_late(late, self.facts["decision_ms"])
        self.found.append(admission.check_bodies(*bodies))
        if first.request_id:
            others = (long_stream, quiet, *bodies, *keyed.values())
            await self._ledger(first, stream, error, others)
        else:
            self._skip("metering", f"replies have to carry {REQUEST_ID} first")
        told_ms = first.arrived["timeout_ms"]
        self.found.append(replies.check_reply_timeout(long_stream, quiet, long_s, told_ms))
        renewed = None
        if long_stream is not None and "[DONE]" in long_stream.text:
            renewed = self.facts["probes_renewed"] - renewed_before
        self.found.append(replies.check_running_calls(renewed, self.facts["lease_seconds"]))
        self.found += surroundings.check_versions(self.facts)
        if self.extent.model:
            await self._provider_call(self.extent.model)

    async def _keyed(self) -> dict[str, Reply]:
        """Send a probe with the key in each place where clients send it."""
        sent = await asyncio.gather(*map(self.probing.with_key_in, KEY_PLACES))
        return dict(zip(KEY_PLACES, sent, strict=True))

    async def _bodies(self) -> tuple[Reply, Reply | None, Reply | None]:
        most = self.facts["max_request_bytes"]
        middling = await self.probing.call(body_bytes=min(_MIDDLING_BYTES, most))
        if self.extent.quick or middling.arrived is None:
            return middling, None, None
        longest = await self.probing.call(body_bytes=most)
        return middling, longest, await self.probing.call(body_bytes=most + 1)

    async def _slow(self, stream_s: float) -> tuple[Reply | None, Reply | None]:
        """Ask for a long stream, and for a reply that begins late."""
        if self.extent.quick:
            return None, None
        return await asyncio.gather(
            self.probing.call("stream", seconds=stream_s, stream=True),
            self.probing.call("silence", seconds=_LONG_STREAM_S),
        )

    async def _ledger(
        self,
        first: Reply,
        stream: Reply,
        error: Reply,
        others: Sequence[Reply | None],
    ) -> None:
        """Compare with what the ledger says of these calls. `others`: further calls that ended."""
        record, streamed, failed = await asyncio.gather(
            *(self.probing.settled(each.request_id) for each in (first, stream, error))
        )
        self.found.append(replies.check_metering(record, failed))
        self.found += replies.check_stream(stream, streamed)
        known = {each.request_id for each in (first, stream, error, *others) if each is not None}
        left_alone = await self.probing.others_settled(known)
        self.facts = await self.probing.ask("GET", "/health/diagnosis")
        self.found.append(replies.check_access_log(left_alone, self.facts))

    async def _provider_call(self, model: str) -> None:
        reply = await self.probing.call("", model=model)
        record = await self.probing.settled(reply.request_id) if reply.request_id else None
        self.found.append(replies.check_provider_call(reply, record, model))

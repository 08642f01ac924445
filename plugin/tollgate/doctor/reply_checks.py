"""Judge what became of probes on their way back: metering, streams, the access log, timeouts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tollgate.doctor.finding import Finding, fault, not_checked, ok, warning
from tollgate.doctor.probing import Reply

Record = Mapping[str, Any]
"""A record of the ledger, as /spend/explain tells it."""

_EXT_PROC = "ext_proc"
_EXPIRED = "expired"
_PRINTED = "as `tollgate envoy-config` prints it"
# A provider may think for minutes before its first token.
_LEAST_TIMEOUT_MS = 60_000
_HELD_BACK_S = 0.5


def check_metering(record: Record | None, error: Record | None) -> Finding:
    """Judge how the usage of a JSON reply was read. `error`: the record of a reply that failed."""
    check = "metering"
    if record is None or record["usage"] == _EXPIRED:
        return fault(
            check,
            "a reply is not settled: its hold stays until its lease ends, and is then charged",
            f"put in the filter ext_proc and the access log, {_PRINTED}",
        )
    if record["usage"] == "exact":
        mode = "ext_proc" if record["settled_by"] == _EXT_PROC else "Envoy's own filters"
        return ok(check, f"{mode} read what a reply used, and it is charged exactly")
    if error is not None and error["settled_by"] == _EXT_PROC:
        return fault(
            check,
            "ext_proc sees the heads of replies and not their bodies: usage is estimated",
            "set allow_mode_override: true in ext_proc, or response_body_mode: STREAMED",
        )
    return fault(
        check,
        f"nobody reads replies: usage is {record['usage']}",
        "put in the filter ext_proc (native mode: tollgate.meter too), with response_header_mode:"
        f" SEND and the metadata of ext_authz forwarded, enabled on the deployments' routes,"
        f" {_PRINTED}",
    )


def check_stream(reply: Reply, record: Record | None) -> Iterator[Finding]:
    """Judge a short stream: whether it flows, and whether its usage was asked for and read."""
    if reply.status != 200 or reply.failure:
        seen = reply.failure or f"{reply.status} {reply.message!r}"
        yield fault("streams", f"a stream fails: {seen}", "see Envoy's log")
        return
    if reply.took_s - reply.first_after_s < _HELD_BACK_S:
        yield fault(
            "streams",
            "a stream reaches its client all at once, after its end",
            "let no filter hold replies: response_body_mode of ext_proc must not be BUFFERED",
        )
    elif '"usage"' in reply.text:
        yield warning(
            "streams",
            "clients see the usage that only Tollgate asked for",
            "let ext_proc read the bodies of streams, or Lua run on replies (native mode)",
        )
    else:
        yield ok("streams", "events reach the client as they come")
    if record is None or record["usage"] != "exact":
        usage = "not settled" if record is None else record["usage"]
        yield fault(
            "stream-usage",
            f"the usage of a stream is {usage}",
            "see the checks splices and metering: it has to be asked for, and to be read",
        )
    else:
        yield ok("stream-usage", "a stream is asked for its usage, and charged exactly")


def check_access_log(settled_ids: list[str], facts: Mapping[str, Any]) -> Finding:
    """Judge a call whose client left before the reply: only the access log tells its end."""
    if settled_ids:
        return ok("access-log", "Envoy's access log tells the ends of calls")
    if not facts["envoys"]:
        seen = "Envoy's access log is not connected to Tollgate"
    else:
        seen = "the access log does not tell of calls whose client left"
    return fault(
        "access-log",
        f"{seen}: what they held is charged when their leases end",
        "put in the access log envoy.access_loggers.http_grpc with the cluster of the workers,"
        f" {_PRINTED}",
    )


def check_reply_timeout(
    reply: Reply | None, quiet: Reply | None, asked_s: float, told_ms: str | None
) -> Finding:
    """Judge a long stream, a reply that begins late, and the timeout that Envoy told the provider.

    The replies are None where they were not asked for.
    """
    check = "reply-timeout"
    fix = "set timeout: 0s on the deployments' routes, and idle_timeout to 10 minutes"
    if told_ms is not None and told_ms.isdigit() and 0 < int(told_ms) < _LEAST_TIMEOUT_MS:
        return fault(check, f"Envoy cuts replies after {int(told_ms) / 1000:g} s", fix)
    if reply is None:
        return not_checked(check, "no long stream was sent")
    if quiet is not None and quiet.arrived is None:
        seen = f"Envoy gives up a provider that is silent for {quiet.took_s:.0f} s"
        return fault(check, seen, fix)
    if reply.failure or "[DONE]" not in reply.text:
        return fault(check, f"Envoy cuts a stream after {reply.took_s:.0f} s", fix)
    return ok(check, f"a stream of {asked_s:.0f} s reaches its end")


def check_running_calls(renewed: int | None, lease_s: int) -> Finding:
    """Judge whether calls are reported while they run. `renewed`: leases during a long stream."""
    check = "running-calls"
    if renewed is None:
        return not_checked(check, "no long stream was sent")
    if renewed:
        return ok(check, "the access log tells of calls while they run, which keeps their leases")
    return fault(
        check,
        f"nobody tells of calls while they run: after {lease_s} s they are charged as held, and"
        " free their slots",
        f"set access_log_options.access_log_flush_interval: {lease_s // 3}s",
    )


def check_provider_call(reply: Reply, record: Record | None, model: str) -> Finding:
    """Judge one call of a real model."""
    check = "provider-call"
    if reply.status != 200:
        seen = reply.failure or f"{model} answers {reply.status} {reply.message!r}"
        return fault(check, seen, "check the deployment's api_base and key")
    if record is None or record["usage"] != "exact":
        usage = "not settled" if record is None else record["usage"]
        return fault(check, f"{model} answers, and its usage is {usage}", "see the check metering")
    return ok(check, f"{model} answers, and is charged {record['cost_nanousd']} nano-dollars")

"""Judge what became of probes on their way in: ext_authz, its body, its timeout, the route."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tollgate.core.answers.headers import REQUEST_ID
from tollgate.core.callers.credentials import KEY_HEADERS, OWN_HEADER
from tollgate.core.envoy_contract import HEADER_PREFIX
from tollgate.core.models.probe_model import DAMAGED_PROBE
from tollgate.doctor.finding import Finding, fault, not_checked, ok, warning
from tollgate.doctor.probing import Reply

FOREIGN_HEADERS = {f"{HEADER_PREFIX}probe": "1", "x-envoy-probe": "1"}
"""Headers of a client that Envoy should take away."""

_OK, _UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND, _TOO_LONG = 200, 401, 403, 404, 413
_LIMITS = (402, 422, 429)
_FAILED = 500
_NO_MODEL = "model_not_found"
_WRONG_KEY = "invalid_api_key"
_PRINTED = "as `tollgate envoy-config` prints it"
# More than Envoy needs to wait for: a client with a timeout of its own has given up.
_LONGEST_DECISION_S = 10.0
_KEY_HEADERS_FIX = (
    "name all headers of keys in allowed_headers of ext_authz and in the route that answers calls"
    f" without a key, {_PRINTED}"
)
_CHECKS_OF_A_CALL = ("routing", "splices", "client-keys", "client-headers", "plain-replies")


def check_no_key(reply: Reply) -> Finding:
    """Judge a call without any key."""
    if reply.status == _UNAUTHORIZED:
        return ok("no-key", "a call without a key is refused with 401")
    return fault(
        "no-key",
        f"a call without a key is answered with {_shown(reply)}",
        f"put Tollgate's virtual host and its ext_authz filter in, {_PRINTED}",
    )


def check_admission(reply: Reply) -> Finding:
    """Judge a call with a wrong key: whether ext_authz asks Tollgate."""
    check = "admission"
    if reply.status == _UNAUTHORIZED and reply.request_id:
        return ok(check, "ext_authz asks Tollgate, which refuses a wrong key")
    if reply.status == _UNAUTHORIZED and reply.error_code == _WRONG_KEY:
        return fault(
            "client-replies",
            f"a refusal reaches its client without {REQUEST_ID}",
            f"let ext_authz pass on what Tollgate answers: allowed_client_headers, {_PRINTED}",
        )
    if reply.status in (_FORBIDDEN, _UNAUTHORIZED) or reply.status >= _FAILED or reply.failure:
        return fault(
            check,
            f"a wrong key is answered with {_shown(reply)}, and not by Tollgate",
            "let ext_authz reach the workers at serve_grpc over HTTP/2 (native mode: serve_native"
            " over HTTP/1.1), and no other filter answer first",
        )
    return fault(
        check,
        f"a wrong key is answered with {_shown(reply)}: ext_authz does not run",
        f"put the filter {_PRINTED} before the router, and enable it on Tollgate's routes",
    )


def check_call(reply: Reply) -> Iterator[Finding]:
    """Judge a call with a good key: whether its body was seen, and what reached the provider."""
    arrived = reply.arrived
    if arrived is None:
        found = _not_served(reply)
        yield found
        for each in _CHECKS_OF_A_CALL:
            if each not in ("routing", found.check):
                yield not_checked(each, "no probe reached its provider")
        return
    yield ok("body", "ext_authz sends the body along")
    yield ok("routing", "the route is chosen anew by what Tollgate says")
    if arrived["model"] == "probe":
        yield ok("splices", "Lua changes the body as Tollgate asks")
    else:
        yield fault(
            "splices",
            f"the provider got the model {arrived['model']!r} unchanged: Lua does not run, or"
            " before ext_authz",
            "put the filter tollgate.changes after ext_authz (Envoy Gateway:"
            " extensionApis.enableLua), and enable it on the deployments' routes",
        )
    yield from _check_headers(arrived)


def _not_served(reply: Reply) -> Finding:
    if reply.failure:
        fix = "see Envoy's log: a filter after ext_proc that adds trailers makes replies hang"
        return fault("routing", f"a call with a good key: {reply.failure}", fix)
    if not reply.request_id:
        fix = f"enable ext_authz on every one of Tollgate's routes, {_PRINTED}"
        return fault("admission", f"a good key is answered with {_shown(reply)}", fix)
    if reply.status == _UNAUTHORIZED:
        return fault("key-headers", f"{OWN_HEADER}: {reply.message}", _KEY_HEADERS_FIX)
    if reply.error_code == DAMAGED_PROBE:
        return fault(
            "splices",
            f"the provider gets a damaged body: {reply.message}",
            f"leave one filter tollgate.changes in the chain, {_PRINTED}",
        )
    if reply.error_code == _NO_MODEL:
        return not_checked("routing", f"the key may not call probes: {reply.message}")
    if reply.status in _LIMITS:
        return not_checked("routing", f"a limit refuses probes: {reply.message}")
    if reply.status == 400:
        return fault(
            "body",
            f"Tollgate did not get the body: {reply.message}",
            "set with_request_body of ext_authz: max_request_bytes as in Tollgate's settings,"
            " pack_as_bytes: true, no allow_partial_message",
        )
    if reply.status >= _FAILED:
        return fault(
            "routing",
            f"Tollgate admits a call, and it is answered with {_shown(reply)}",
            f"let the cluster deployment/tollgate-probe lead to serve_http, {_PRINTED}",
        )
    return fault(
        "routing",
        f"Tollgate admits a call, and Envoy answers {_shown(reply)}: the route is not chosen anew,"
        " or there is none for the deployment",
        f"set clear_route_cache: true in ext_authz, and print the routes again, {_PRINTED}",
    )


def check_client_replies(reply: Reply) -> Finding:
    """Judge whether the reply of a call with a good key tells its client what Tollgate says."""
    check = "client-replies"
    if reply.request_id:
        return ok(check, "replies tell clients where their limits stand")
    return fault(
        check,
        "a reply reaches its client without the headers that tell where limits stand",
        f"let ext_authz pass them on: allowed_client_headers_on_success, {_PRINTED}",
    )


def check_held_once(admitted: int | None) -> Finding:
    """Judge how often the first call of a key was admitted; None: that is not known."""
    check = "held-once"
    if admitted is None:
        return not_checked(check, "only a key that this command makes tells how often it called")
    if admitted == 1:
        return ok(check, "Tollgate is asked once for each call")
    return fault(
        check,
        f"Tollgate is asked {admitted} times for one call, and what is held for all but the last"
        " is charged when its lease ends",
        "leave one ext_authz filter for Tollgate in the chain, also if a call passes two Envoys",
    )


def check_key_headers(replies: Mapping[str, Reply]) -> Finding:
    """Judge calls with a good key, by the header in which it was sent."""
    check = "key-headers"
    failed = {
        place: reply
        for place, reply in replies.items()
        if reply.arrived is None and not (reply.request_id and reply.status in _LIMITS)
    }
    if not failed:
        return ok(check, "keys are found in every header in which SDKs send them")
    (_, reply), *_ = failed.items()
    return fault(
        check,
        f"a good key is not found where some SDKs send it: {', '.join(failed)} ({_shown(reply)})",
        _KEY_HEADERS_FIX,
    )


def _check_headers(arrived: Mapping[str, Any]) -> Iterator[Finding]:
    came = set(arrived["headers"])
    if leaked := sorted(came & {*KEY_HEADERS, "cookie"}):
        yield fault(
            "client-keys",
            f"providers get what clients send as their key: {', '.join(leaked)}",
            "set request_headers_to_remove on the deployments' routes, " + _PRINTED,
        )
    else:
        yield ok("client-keys", "clients' keys do not reach providers")
    if foreign := sorted(came & set(FOREIGN_HEADERS)):
        yield fault(
            "client-headers",
            f"clients choose headers that only Envoy may set: {', '.join(foreign)}",
            "put in early_header_mutation_extensions and the filter tollgate.clean, " + _PRINTED,
        )
    else:
        yield ok("client-headers", "headers of Envoy and Tollgate are taken from clients")
    if arrived["accept_encoding"] == "identity":
        yield ok("plain-replies", "providers are asked for replies without compression")
    else:
        yield warning(
            "plain-replies",
            f"providers get accept-encoding {arrived['accept_encoding']!r}",
            "let the deployments' routes overwrite it with identity, " + _PRINTED,
        )


def check_late(reply: Reply, needed_ms: int) -> Iterator[Finding]:
    """Judge a decision that came too late: what Envoy does then, and how long it waited."""
    if reply.status >= _FAILED or reply.status == _FORBIDDEN:
        yield ok("fail-closed", f"a call that nobody decides about is answered with {reply.status}")
    elif reply.request_id:
        yield warning(
            "decision-timeout",
            f"Envoy waits {reply.took_s:.0f} s and longer for a decision",
            "set the timeout of ext_authz to 2 to 5 s",
        )
        yield not_checked("fail-closed", "Envoy waited for as long as the decision took")
        return
    else:
        yield fault(
            "fail-closed",
            f"a call that nobody decides about passes ({_shown(reply)})",
            "set failure_mode_allow: false in ext_authz (failOpen: false)",
        )
    waited_ms = round(reply.took_s * 1000)
    if waited_ms < needed_ms:
        yield fault(
            "decision-timeout",
            f"Envoy gives a decision {waited_ms} ms, and one may take {needed_ms} ms",
            "set the timeout of ext_authz to 2 s or more",
        )
    elif reply.took_s > _LONGEST_DECISION_S:
        seen = f"Envoy gives a decision {reply.took_s:.0f} s: clients wait for it"
        yield warning("decision-timeout", seen, "set the timeout of ext_authz to 2 to 5 s")
    else:
        yield ok("decision-timeout", f"Envoy gives a decision {reply.took_s:.1f} s")


def check_bodies(middling: Reply, longest: Reply | None, too_long: Reply | None) -> Finding:
    """Judge bodies of 256 KiB, of exactly the most bytes that Tollgate takes, and of one more.

    The latter two are None where they were not sent.
    """
    check = "long-bodies"
    for reply in (middling, longest, too_long):
        if reply is not None and reply.status == 400 and reply.request_id:
            return fault(
                check,
                f"Tollgate gets long bodies in part: {reply.message}",
                "leave allow_partial_message of ext_authz out: what follows would be unread",
            )
    for reply, what in ((middling, "256 KiB"), (longest, "the most bytes that Tollgate takes")):
        if reply is not None and reply.arrived is None:
            refused = reply.status == _TOO_LONG
            return fault(
                check,
                f"Envoy {'refuses' if refused else 'does not serve'} a body of {what}"
                f" ({_shown(reply)})",
                "set max_request_bytes of ext_authz, and request_body_buffer_limit of the routes,"
                " as tollgate.max_request_bytes says",
            )
    if too_long is not None and too_long.arrived is not None:
        fix = "set max_request_bytes of ext_authz as tollgate.max_request_bytes says"
        return warning(check, "Envoy takes longer bodies than Tollgate", fix)
    if longest is None:
        return ok(check, "a body of 256 KiB arrives whole; longer ones were not sent")
    return ok(check, "bodies arrive whole, and too long ones are refused with 413")


def _shown(reply: Reply) -> str:
    return reply.failure or f"{reply.status} {reply.message[:80]!r}"

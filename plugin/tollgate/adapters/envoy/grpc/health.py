"""The standard health service, over whichever transport (grpc.io, "GRPC Health Checking Protocol").

Each worker tells of itself. It is answered by the event loop that decides, so one that hangs does
not answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from typing import Final, NoReturn

from google.protobuf.message import DecodeError
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from tollgate.adapters.envoy.grpc.call import Call, Method, Status, streaming, unary

SERVICE: Final = "grpc.health.v1.Health"
_LOOK_EVERY_S: Final = 0.5
_MOST_WATCHERS: Final = 1000

SERVING: Final = HealthCheckResponse.SERVING
NOT_SERVING: Final = HealthCheckResponse.NOT_SERVING
SERVICE_UNKNOWN: Final = HealthCheckResponse.SERVICE_UNKNOWN


class Health:
    """Tells whether this worker serves: all of its services, or none.

    `trouble`: why it cannot now; empty: it can.
    """

    def __init__(self, services: Collection[str], trouble: Callable[[], str]) -> None:
        self._services = frozenset({"", SERVICE, *services})
        self._trouble = trouble
        self._draining = False
        self._watchers: set[_Watch] = set()

    @property
    def methods(self) -> dict[str, Method]:
        """Return the served methods by path."""
        return {
            f"/{SERVICE}/Check": unary(lambda call: _Check(self, call)),
            f"/{SERVICE}/Watch": streaming(lambda call: _Watch(self, call)),
        }

    def drain(self) -> None:
        """Report from now on that new calls should go elsewhere, and notify watchers.

        Watching calls need not be waited for.
        """
        self._draining = True
        for each in tuple(self._watchers):
            each.tell()
            each.close()

    def status(self, service: str) -> int:
        """Return the status of one service, or of the whole ("")."""
        if service not in self._services:
            return SERVICE_UNKNOWN
        if self._draining or self._trouble():
            return NOT_SERVING
        return SERVING

    def watched(self, watch: _Watch) -> bool:
        """Register a call for changes. Return False if we drain, or if too many watch."""
        if self._draining or len(self._watchers) >= _MOST_WATCHERS:
            return False
        self._watchers.add(watch)
        return True

    def left(self, watch: _Watch) -> None:
        """Unregister a call."""
        self._watchers.discard(watch)

    def tell_watchers(self) -> None:
        """Notify watchers whose status has changed."""
        for each in tuple(self._watchers):
            each.tell()

    async def keep_telling(self) -> NoReturn:
        """Check for changes, forever, while somebody watches."""
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            self.tell_watchers()


class _Check:
    """One call of Check."""

    __slots__ = ("_call", "_health")

    def __init__(self, health: Health, call: Call) -> None:
        self._health = health
        self._call = call

    def received(self, message: bytes) -> None:
        if (service := _service(self._call, message)) is None:
            return
        status = self._health.status(service)
        if status == SERVICE_UNKNOWN:
            self._call.close(Status.NOT_FOUND, f"no service {service}")
        else:
            self._call.answer(_packed(status))

    def ended(self, *, whole: bool) -> None:
        pass


class _Watch:
    """One call of Watch.

    An unknown service is reported as such and may become known later, as the protocol defines.
    """

    __slots__ = ("_call", "_health", "_service", "_told")

    def __init__(self, health: Health, call: Call) -> None:
        self._health = health
        self._call = call
        self._service = ""
        self._told: int | None = None

    def received(self, message: bytes) -> None:
        if (service := _service(self._call, message)) is None:
            return
        self._service = service
        if not self._health.watched(self):
            self._call.answer(_packed(NOT_SERVING))
            return
        self.tell()

    def ended(self, *, whole: bool) -> None:
        # A half-closed call still listens; one that has left is found at the next notification.
        pass

    def tell(self) -> None:
        """Send the status, unless it equals the last one sent."""
        status = self._health.status(self._service)
        if self._call.left():
            self._health.left(self)
        elif status != self._told:
            self._told = status
            self._call.send(_packed(status))

    def close(self) -> None:
        """End the call."""
        self._health.left(self)
        self._call.close(Status.UNAVAILABLE, "this server drains")


def _service(call: Call, message: bytes) -> str | None:
    """Return the requested service; None for an invalid request, whose call has ended."""
    try:
        return HealthCheckRequest.FromString(message).service
    except DecodeError:
        call.close(Status.INVALID_ARGUMENT, "no HealthCheckRequest")
        return None


def _packed(status: int) -> bytes:
    return HealthCheckResponse(status=status).SerializeToString()

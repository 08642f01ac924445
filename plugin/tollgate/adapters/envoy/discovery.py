"""Serve Envoy's aggregated discovery service (ADS), state of the world.

Passes on what the supervisor has encoded, and notes what each Envoy has taken or refused. Protocol:
https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from hashlib import sha256
from itertools import count
from pathlib import Path

import msgspec
from google.protobuf.any_pb2 import Any
from google.protobuf.message import DecodeError

from tollgate.adapters.envoy.grpc.call import Call, Status
from tollgate.pb.discovery_pb2 import DiscoveryRequest, DiscoveryResponse, NamedResource
from tollgate.topology import SECRETS_FILE, Discovery, EnvoyVerdict, encoded_form, verdicts_file

_CLUSTERS = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
_ROUTES = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"
_SECRETS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"


# Of a type that is not ours.
_NOTHING = DiscoveryResponse()


class DiscoveryService:
    """The service, over the files of one folder."""

    def __init__(self, folder: Path) -> None:
        self._files = Discovery(str(folder), {}, by_ads=True)
        self._streams: dict[int, _Stream] = {}
        self._numbers = count()
        self._verdicts_file = Path(verdicts_file(str(folder), os.getpid()))
        self.latest: dict[str, DiscoveryResponse] = {}
        self.secrets: dict[str, Any] = {}
        self._read()

    def stream_aggregated_resources(self, call: Call) -> _Stream:
        """Begin a call of the method StreamAggregatedResources."""
        number = next(self._numbers)
        self._streams[number] = stream = _Stream(self, call, number)
        return stream

    def changed(self) -> None:
        """Pass on files that have changed."""
        self._read()
        for each in list(self._streams.values()):
            each.push()

    def left(self, number: int) -> None:
        """Forget a stream that has ended."""
        self._streams.pop(number, None)
        self.note()

    def end_all(self) -> None:
        """End the streams, which have no end of their own; Envoys continue with another worker."""
        for each in list(self._streams.values()):
            each.close()

    def note(self) -> None:
        """Write what each Envoy has said, for the supervisor."""
        found = [verdict for each in self._streams.values() for verdict in each.verdicts()]
        new = self._verdicts_file.with_suffix(".new")
        new.write_bytes(msgspec.json.encode(found))
        new.replace(self._verdicts_file)

    def _read(self) -> None:
        files = {
            _CLUSTERS: encoded_form(self._files.clusters),
            _ROUTES: encoded_form(self._files.routes),
        }
        self.latest = {kind: _response(file) for kind, file in files.items()}
        secrets = _response(f"{self._files.folder}/{SECRETS_FILE}").resources
        self.secrets = {NamedResource.FromString(each.value).name: each for each in secrets}


def _response(file: str) -> DiscoveryResponse:
    return DiscoveryResponse.FromString(Path(file).read_bytes())


class _Subscription:
    """One type of resources on one stream: what was asked for, sent, and said of it."""

    def __init__(self) -> None:
        self.names: frozenset[str] = frozenset()
        self.nonce = self.sent = self.taken = self.refused = self.detail = ""


class _Stream:
    """One Envoy."""

    def __init__(self, service: DiscoveryService, call: Call, number: int) -> None:
        self._service = service
        self._call = call
        self._number = number
        self._node = ""
        self._nonces = count(1)
        self._subscriptions: dict[str, _Subscription] = {}

    def received(self, message: bytes) -> None:
        try:
            request = DiscoveryRequest.FromString(message)
        except DecodeError:
            self._call.close(Status.INVALID_ARGUMENT, "the message is no DiscoveryRequest")
            self._service.left(self._number)
            return
        self._node = request.node.id or self._node
        found = self._subscriptions.setdefault(request.type_url, _Subscription())
        if request.response_nonce and request.response_nonce != found.nonce:
            return  # It has not read the newest response yet, and will answer that.
        if request.HasField("error_detail"):
            found.refused, found.detail = found.sent, request.error_detail.message
        elif request.response_nonce:
            found.taken = found.sent
        if request.response_nonce and request.type_url != _SECRETS:
            self._service.note()
        found.names = frozenset(request.resource_names)
        self._send(request.type_url, found)

    def ended(self, *, whole: bool) -> None:
        if whole:
            self._call.close()
        self._service.left(self._number)

    def close(self) -> None:
        """End the stream."""
        self.ended(whole=True)

    def push(self) -> None:
        """Send what is newer than what was sent."""
        for kind, each in self._subscriptions.items():
            self._send(kind, each)

    def verdicts(self) -> Iterable[EnvoyVerdict]:
        """Yield what this Envoy has said of each type."""
        for each in self._subscriptions.values():
            yield EnvoyVerdict(self._node, each.sent, each.taken, each.refused, each.detail)

    def _send(self, kind: str, subscription: _Subscription) -> None:
        if kind == _SECRETS:
            response = _of_names(self._service.secrets, subscription.names)
        else:
            response = self._service.latest.get(kind, _NOTHING)
        if response.version_info in (subscription.sent, ""):
            return
        subscription.sent, subscription.nonce = response.version_info, str(next(self._nonces))
        # Fields of a message may follow each other in any order: the rest is sent as it was read.
        nonce = DiscoveryResponse(nonce=subscription.nonce).SerializeToString()
        self._call.send(response.SerializeToString() + nonce)


def _of_names(secrets: Mapping[str, Any], names: frozenset[str]) -> DiscoveryResponse:
    """Return the secrets of some names; the version is that of the names, whose content lasts."""
    present = sorted(names & secrets.keys())
    version = sha256(" ".join(present).encode()).hexdigest()[:12] if present else ""
    return DiscoveryResponse(
        version_info=version, type_url=_SECRETS, resources=[secrets[each] for each in present]
    )

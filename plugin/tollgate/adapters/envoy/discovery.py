"""Serve Envoy's aggregated discovery service (ADS), incrementally.

Passes on what the supervisor has encoded, and notes what each Envoy has taken or refused. A change
sends what has changed alone: with state of the world, one more model would send all models again,
and Envoy would ask for all keys again. Protocol:
https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import msgspec
from google.protobuf.message import DecodeError

from tollgate.adapters.envoy.grpc.call import Call, Status
from tollgate.pb.discovery_pb2 import DeltaDiscoveryRequest, DeltaDiscoveryResponse, Resource
from tollgate.topology import SECRETS_FILE, Discovery, EnvoyVerdict, encoded_form, verdicts_file

_CLUSTERS = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
_ROUTES = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"
_SECRETS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"
# Subscribes to all resources of a type.
_ALL = "*"
# How long an Envoy keeps what it brought from an earlier stream: by then its calls have met a new
# table of routes.
_KEPT_S = 5.0

Later = Callable[[float, Callable[[], None]], object]
"""Runs something after some seconds, as `call_later` of an event loop does."""


@dataclass(frozen=True, slots=True)
class _Latest:
    """The resources of one type, by name. `version`: of all; empty if nobody asks for it."""

    version: str = ""
    resources: Mapping[str, Resource] = field(default_factory=dict)

    @classmethod
    def read(cls, file: str) -> _Latest:
        response = DeltaDiscoveryResponse.FromString(Path(file).read_bytes())
        return cls(response.system_version_info, {each.name: each for each in response.resources})


_NOT_OURS = _Latest()


class DiscoveryService:
    """The service, over the files of one folder."""

    def __init__(self, folder: Path, later: Later) -> None:
        self.later = later
        self._files = Discovery(str(folder), {}, by_ads=True)
        self._streams: dict[int, _Stream] = {}
        self._numbers = count()
        self._verdicts_file = Path(verdicts_file(str(folder), os.getpid()))
        self._latest: dict[str, _Latest] = {}
        self._read()

    def delta_aggregated_resources(self, call: Call) -> _Stream:
        """Begin a call of the method DeltaAggregatedResources."""
        number = next(self._numbers)
        self._streams[number] = stream = _Stream(self, call, number)
        return stream

    def latest(self, kind: str) -> _Latest:
        """Return the resources of a type; none of one that is not ours."""
        return self._latest.get(kind, _NOT_OURS)

    def changed(self) -> None:
        """Pass on files that have changed."""
        self._read()
        for each in list(self._streams.values()):
            each.push()
        self.note()

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
            _SECRETS: f"{self._files.folder}/{SECRETS_FILE}",
        }
        self._latest = {kind: _Latest.read(file) for kind, file in files.items()}


class _Subscription:
    """One type of resources on one stream: what was asked for, sent, and said of it.

    `versions`: of what Envoy has been sent, by name; empty for what it has refused.
    `unanswered`: the version and the names of each response, by its nonce.
    """

    def __init__(self, versions: Mapping[str, str], *, everything: bool) -> None:
        self._everything = everything
        self._names: set[str] = set()
        self._versions = dict(versions)
        self._unanswered: dict[str, tuple[str, tuple[str, ...]]] = {}
        self._sent = self._taken = self._refused = self._detail = ""

    def subscribe(self, names: Iterable[str]) -> None:
        for each in names:
            if each == _ALL:
                self._everything = True
            else:
                self._names.add(each)

    def ask_again(self, names: Iterable[str]) -> None:
        """Let names be sent even if Envoy has had them: it has forgotten them since."""
        for each in names:
            self._versions.pop(each, None)

    def unsubscribe(self, names: Iterable[str]) -> None:
        for each in names:
            if each == _ALL:
                self._everything = False
            self._names.discard(each)
            self._versions.pop(each, None)

    def answered(self, nonce: str, fault: str | None) -> None:
        """Take what Envoy says of a response. `fault`: why it has refused it."""
        version, names = self._unanswered.pop(nonce, ("", ()))
        if fault is not None:
            self._refused, self._detail = version, fault
            self._versions |= dict.fromkeys(self._versions.keys() & set(names), "")
        elif not self._unanswered:
            self._taken = self._sent

    @property
    def answers_all(self) -> bool:
        """Whether Envoy has answered all that it was sent."""
        return not self._unanswered

    def next_response(
        self, latest: _Latest, nonce: str, *, removing: bool
    ) -> DeltaDiscoveryResponse | None:
        """Return what Envoy lacks and, if `removing`, what it is to forget; None if nothing."""
        found = latest.resources
        names = found if self._everything else self._names & found.keys()
        changed = [found[each] for each in names if self._versions.get(each) != found[each].version]
        # A secret that goes is one that nothing names any longer.
        removed = []
        if self._everything and removing:
            removed = [each for each in self._versions if each not in found]
        self._sent = latest.version
        if not (changed or removed):
            if not self._unanswered:
                self._taken = self._sent
            return None
        self._versions |= {each.name: each.version for each in changed}
        for each in removed:
            del self._versions[each]
        self._unanswered[nonce] = latest.version, tuple(each.name for each in changed)
        return DeltaDiscoveryResponse(
            system_version_info=latest.version,
            nonce=nonce,
            resources=changed,
            removed_resources=removed,
        )

    def verdict(self, node: str) -> EnvoyVerdict:
        """Return what Envoy has said."""
        return EnvoyVerdict(node, self._sent, self._taken, self._refused, self._detail)


class _Stream:
    """One Envoy.

    One that brings resources from another stream may have them from a server with another
    configuration, for example when pods are replaced. It is changed in the order of any other
    change: clusters come, then the routes to them, and at last what is gone is removed.
    `_settled`: that is done, or was not needed.
    """

    def __init__(self, service: DiscoveryService, call: Call, number: int) -> None:
        self._ended, self._settled = False, True
        self._service = service
        self._call = call
        self._number = number
        self._node = ""
        self._nonces = count(1)
        self._subscriptions: dict[str, _Subscription] = {}

    def received(self, message: bytes) -> None:
        try:
            request = DeltaDiscoveryRequest.FromString(message)
        except DecodeError:
            self._call.close(Status.INVALID_ARGUMENT, "the message is no DeltaDiscoveryRequest")
            self.ended(whole=False)
            return
        self._node = request.node.id or self._node
        names, found = request.resource_names_subscribe, self._subscriptions.get(request.type_url)
        begins = found is None
        if found is None:
            had = request.initial_resource_versions
            found = _Subscription(had, everything=not names)
            self._subscriptions[request.type_url] = found
            if had and request.type_url == _CLUSTERS:
                self._settled = False
                self._service.later(_KEPT_S, self._settle)
        else:
            found.ask_again(names)
        found.subscribe(names)
        found.unsubscribe(request.resource_names_unsubscribe)
        if request.response_nonce:
            refused = request.HasField("error_detail")
            fault = request.error_detail.message if refused else None
            found.answered(request.response_nonce, fault)
        # What was refused is sent again once it has changed.
        if begins or names:
            self._send(request.type_url, found)
        if not self._settled and request.type_url == _CLUSTERS and _ROUTES in self._subscriptions:
            self._send(_ROUTES, self._subscriptions[_ROUTES])
        if request.type_url != _SECRETS:
            self._service.note()

    def ended(self, *, whole: bool) -> None:
        self._ended = True
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
            yield each.verdict(self._node)

    def _clusters_come(self) -> bool:
        """Whether Envoy was sent clusters that do not serve yet."""
        clusters = self._subscriptions.get(_CLUSTERS)
        return clusters is not None and not clusters.answers_all

    def _settle(self) -> None:
        if not self._ended:
            self._settled = True
            # Routes before the removal of the clusters that they named.
            for kind, each in reversed(self._subscriptions.items()):
                self._send(kind, each)
            self._service.note()

    def _send(self, kind: str, subscription: _Subscription) -> None:
        if not self._settled and kind == _ROUTES and self._clusters_come():
            return
        latest = self._service.latest(kind)
        nonce = str(next(self._nonces))
        response = subscription.next_response(latest, nonce, removing=self._settled)
        if response is not None:
            response.type_url = kind
            self._call.send(response.SerializeToString())

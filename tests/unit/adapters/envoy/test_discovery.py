"""The discovery service: what each Envoy is sent, and what is noted of its answers."""

from __future__ import annotations

import json
from pathlib import Path

from tollgate.adapters.envoy.discovery import DiscoveryService
from tollgate.adapters.envoy.grpc.call import Status
from tollgate.pb.discovery_pb2 import DiscoveryRequest, DiscoveryResponse, NamedResource
from tollgate.topology import EnvoyVerdict

CLUSTERS = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
ROUTES = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"
SECRETS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"


class FakeCall:
    """A call that keeps what is sent."""

    def __init__(self) -> None:
        self.sent: list[DiscoveryResponse] = []
        self.closed: int | None = None

    def left(self) -> bool:
        return False

    def send(self, message: bytes) -> bool:
        self.sent.append(DiscoveryResponse.FromString(message))
        return True

    def answer(self, message: bytes) -> bool:
        return self.send(message)

    def close(self, status: int = Status.OK, why: str = "") -> bool:
        self.closed = status
        return True


def write(folder: Path, clusters: str, *secrets: str) -> None:
    """Write what the supervisor does: a version of the clusters, a table, and secrets."""
    for name, kind, version, names in (
        ("clusters.pb", CLUSTERS, clusters, ["c"]),
        ("routes.pb", ROUTES, "1", ["r"]),
        ("secrets.pb", SECRETS, "", secrets),
    ):
        response = DiscoveryResponse(version_info=version, type_url=kind)
        for each in names:
            value = NamedResource(name=each).SerializeToString()
            response.resources.add(type_url=kind, value=value)
        (folder / name).write_bytes(response.SerializeToString())


def request(kind: str, nonce: str = "", fault: str = "", *names: str) -> bytes:
    """What an Envoy says."""
    found = DiscoveryRequest(type_url=kind, response_nonce=nonce, resource_names=names)
    if not nonce:
        found.node.id = "edge-1"
    if fault:
        found.error_detail.message = fault
    return found.SerializeToString()


def verdicts(folder: Path) -> list[EnvoyVerdict]:
    """What is noted for the supervisor."""
    (file,) = folder.glob("verdicts-*.json")
    return [EnvoyVerdict(*each) for each in json.loads(file.read_bytes())]


def test_a_version_is_sent_once_and_what_envoy_says_of_it_is_noted(tmp_path: Path) -> None:
    """Taken, then refused with the reason; then it gets the last good one again."""
    write(tmp_path, "1")
    service, call = DiscoveryService(tmp_path), FakeCall()
    stream = service.stream_aggregated_resources(call)
    stream.received(request(CLUSTERS))
    stream.received(request(CLUSTERS, call.sent[-1].nonce))
    assert [each.version_info for each in call.sent] == ["1"]
    assert verdicts(tmp_path) == [EnvoyVerdict("edge-1", "1", "1", "", "")]
    service.changed()
    assert len(call.sent) == 1
    write(tmp_path, "2")
    service.changed()
    first, second = call.sent
    assert (second.version_info, second.type_url, len(second.resources)) == ("2", CLUSTERS, 1)
    assert first.nonce != second.nonce
    stream.received(request(CLUSTERS, first.nonce))  # Of an answer that is no longer the newest.
    assert verdicts(tmp_path) == [EnvoyVerdict("edge-1", "1", "1", "", "")]
    stream.received(request(CLUSTERS, second.nonce, "no such host"))
    assert verdicts(tmp_path) == [EnvoyVerdict("edge-1", "2", "1", "2", "no such host")]
    assert len(call.sent) == 2
    write(tmp_path, "1")
    service.changed()
    assert [each.version_info for each in call.sent] == ["1", "2", "1"]


def test_an_envoy_gets_the_secrets_that_it_asks_for_alone(tmp_path: Path) -> None:
    """Also one that comes later."""
    write(tmp_path, "1", "secret-a", "secret-b")
    service, call = DiscoveryService(tmp_path), FakeCall()
    stream = service.stream_aggregated_resources(call)

    def sent() -> list[str]:
        return [NamedResource.FromString(each.value).name for each in call.sent[-1].resources]

    stream.received(request(SECRETS, "", "", "secret-a"))
    assert sent() == ["secret-a"]
    stream.received(request(SECRETS, call.sent[-1].nonce, "", "secret-a", "secret-c"))
    assert len(call.sent) == 1
    write(tmp_path, "1", "secret-a", "secret-b", "secret-c")
    service.changed()
    assert sent() == ["secret-a", "secret-c"]


def test_types_that_are_not_ours_and_odd_messages_are_left_alone(tmp_path: Path) -> None:
    """An Envoy may ask for listeners on the same stream."""
    write(tmp_path, "1")
    service, call = DiscoveryService(tmp_path), FakeCall()
    stream = service.stream_aggregated_resources(call)
    stream.received(request("type.googleapis.com/envoy.config.listener.v3.Listener"))
    assert (call.sent, call.closed) == ([], None)
    stream.received(b"\xff")
    assert call.closed == Status.INVALID_ARGUMENT


def test_what_an_envoy_that_has_left_had_said_no_longer_counts(tmp_path: Path) -> None:
    write(tmp_path, "1")
    service, call = DiscoveryService(tmp_path), FakeCall()
    stream = service.stream_aggregated_resources(call)
    stream.received(request(ROUTES))
    stream.received(request(ROUTES, call.sent[-1].nonce, "wrong"))
    assert [each.detail for each in verdicts(tmp_path)] == ["wrong"]
    stream.ended(whole=True)
    assert (verdicts(tmp_path), call.closed) == ([], Status.OK)


def test_a_worker_that_stops_ends_the_streams(tmp_path: Path) -> None:
    """They have no end of their own, and it would wait for them."""
    write(tmp_path, "1")
    service, call = DiscoveryService(tmp_path), FakeCall()
    service.stream_aggregated_resources(call)
    service.end_all()
    assert call.closed == Status.OK

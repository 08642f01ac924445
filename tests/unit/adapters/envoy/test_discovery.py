"""The discovery service: what each Envoy is sent, and what is noted of its answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from tollgate.adapters.envoy.discovery import DiscoveryService
from tollgate.adapters.envoy.grpc.call import Status
from tollgate.pb.discovery_pb2 import DeltaDiscoveryRequest, DeltaDiscoveryResponse
from tollgate.topology import EnvoyVerdict

CLUSTERS = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
ROUTES = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"
SECRETS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"


class FakeCall:
    """A call that keeps what is sent."""

    def __init__(self) -> None:
        self.sent: list[DeltaDiscoveryResponse] = []
        self.closed: int | None = None

    def left(self) -> bool:
        return False

    def send(self, message: bytes) -> bool:
        self.sent.append(DeltaDiscoveryResponse.FromString(message))
        return True

    def answer(self, message: bytes) -> bool:
        return self.send(message)

    def close(self, status: int = Status.OK, why: str = "") -> bool:
        self.closed = status
        return True


def write(folder: Path, version: str, *clusters: str, secrets: tuple[str, ...] = ()) -> None:
    """Write what the supervisor does: clusters, a table of the same version, and secrets."""
    for name, kind, whole, resources in (
        ("clusters.pb", CLUSTERS, version, {each: each for each in clusters}),
        ("routes.pb", ROUTES, version, {"tollgate": version}),
        ("secrets.pb", SECRETS, "", {each: each for each in secrets}),
    ):
        response = DeltaDiscoveryResponse(system_version_info=whole)
        for each, own in resources.items():
            response.resources.add(name=each, version=own).resource.type_url = kind
        (folder / name).write_bytes(response.SerializeToString())


class Later:
    """What is to run later; a test says when that is."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], None]] = []

    def __call__(self, _: float, run: Callable[[], None]) -> None:
        self.waiting.append(run)

    def come(self) -> None:
        while self.waiting:
            self.waiting.pop()()


def served(folder: Path, later: Later | None = None) -> DiscoveryService:
    """The service over a folder."""
    return DiscoveryService(folder, later or Later())


class Envoy:
    """What an Envoy says on one stream, and what it is sent."""

    def __init__(self, service: DiscoveryService) -> None:
        self.call = FakeCall()
        self.stream = service.delta_aggregated_resources(self.call)

    def ask(self, kind: str, *names: str, had: dict[str, str] | None = None) -> None:
        """Subscribe to a type, or to more of its resources."""
        request = DeltaDiscoveryRequest(
            type_url=kind, resource_names_subscribe=names, initial_resource_versions=had
        )
        request.node.id = "edge-1"
        self.stream.received(request.SerializeToString())

    def leave(self, kind: str, *names: str) -> None:
        """Subscribe to some no longer."""
        request = DeltaDiscoveryRequest(type_url=kind, resource_names_unsubscribe=names)
        self.stream.received(request.SerializeToString())

    def answer(self, response: DeltaDiscoveryResponse, fault: str = "") -> None:
        """Take or refuse a response."""
        request = DeltaDiscoveryRequest(type_url=response.type_url, response_nonce=response.nonce)
        if fault:
            request.error_detail.message = fault
        self.stream.received(request.SerializeToString())

    @property
    def last(self) -> DeltaDiscoveryResponse:
        return self.call.sent[-1]

    @property
    def told(self) -> list[tuple[list[str], list[str]]]:
        """What each response contains, and what it removes."""
        return [
            ([each.name for each in sent.resources], list(sent.removed_resources))
            for sent in self.call.sent
        ]


def verdicts(folder: Path) -> list[EnvoyVerdict]:
    """What is noted for the supervisor."""
    (file,) = folder.glob("verdicts-*.json")
    return [EnvoyVerdict(*each) for each in json.loads(file.read_bytes())]


def test_a_change_sends_what_has_changed_and_names_what_is_gone(tmp_path: Path) -> None:
    """Nothing else, however many there are."""
    write(tmp_path, "1", "a@1", "b@1")
    service = served(tmp_path)
    envoy = Envoy(service)
    envoy.ask(CLUSTERS)
    envoy.answer(envoy.last)
    write(tmp_path, "2", "a@1", "b@2")
    service.changed()
    assert envoy.told == [(["a@1", "b@1"], []), (["b@2"], ["b@1"])]
    assert (envoy.last.type_url, envoy.last.system_version_info) == (CLUSTERS, "2")
    assert len({each.nonce for each in envoy.call.sent}) == 2
    service.changed()
    assert len(envoy.call.sent) == 2


def test_what_envoy_says_of_a_version_is_noted(tmp_path: Path) -> None:
    """Taken, then refused with the reason; then it gets what was good again."""
    write(tmp_path, "1", "a@1")
    service = served(tmp_path)
    envoy = Envoy(service)
    envoy.ask(CLUSTERS)
    assert verdicts(tmp_path) == [EnvoyVerdict("edge-1", "1", "", "", "")]
    envoy.answer(envoy.last)
    assert verdicts(tmp_path) == [EnvoyVerdict("edge-1", "1", "1", "", "")]
    write(tmp_path, "2", "a@1", "b@1")
    service.changed()
    assert verdicts(tmp_path) == [EnvoyVerdict("edge-1", "2", "1", "", "")]
    envoy.answer(envoy.last, "no such host")
    assert verdicts(tmp_path) == [EnvoyVerdict("edge-1", "2", "1", "2", "no such host")]
    assert len(envoy.call.sent) == 2
    write(tmp_path, "1", "a@1")
    service.changed()
    assert envoy.told[-1] == ([], ["b@1"])
    envoy.answer(envoy.last)
    assert verdicts(tmp_path) == [EnvoyVerdict("edge-1", "1", "1", "2", "no such host")]


def test_a_table_that_was_refused_is_replaced_by_the_last_good_one(tmp_path: Path) -> None:
    """Envoy still has that; what it said of it before is no longer known."""
    write(tmp_path, "1")
    service = served(tmp_path)
    envoy = Envoy(service)
    envoy.ask(ROUTES, "tollgate")
    envoy.answer(envoy.last)
    write(tmp_path, "2")
    service.changed()
    envoy.answer(envoy.last, "no such cluster")
    write(tmp_path, "1")
    service.changed()
    assert [each.system_version_info for each in envoy.call.sent] == ["1", "2", "1"]


def test_a_version_with_nothing_new_is_taken_as_it_is(tmp_path: Path) -> None:
    """Another order of the same clusters, for example: nobody waits for an answer to nothing."""
    write(tmp_path, "1", "a@1", "b@1")
    service = served(tmp_path)
    envoy = Envoy(service)
    envoy.ask(CLUSTERS)
    write(tmp_path, "2", "b@1", "a@1")
    service.changed()
    assert verdicts(tmp_path) == [EnvoyVerdict("edge-1", "2", "", "", "")]
    envoy.answer(envoy.last)
    assert verdicts(tmp_path) == [EnvoyVerdict("edge-1", "2", "2", "", "")]
    write(tmp_path, "3", "a@1", "b@1")
    service.changed()
    assert verdicts(tmp_path) == [EnvoyVerdict("edge-1", "3", "3", "", "")]
    assert len(envoy.call.sent) == 1


def test_an_envoy_that_comes_again_gets_what_it_lacks(tmp_path: Path) -> None:
    """From another worker, for example: it says what it has. What is gone, it may keep until its
    calls have met another table.
    """
    write(tmp_path, "2", "a@1", "b@1")
    later = Later()
    envoy = Envoy(served(tmp_path, later))
    envoy.ask(CLUSTERS, "*", had={"a@1": "a@1", "gone@1": "gone@1"})
    envoy.ask(ROUTES, "tollgate", had={"tollgate": "2"})
    envoy.answer(envoy.last)
    assert envoy.told == [(["b@1"], [])]
    assert verdicts(tmp_path)[1] == EnvoyVerdict("edge-1", "2", "2", "", "")
    later.come()
    assert envoy.told == [(["b@1"], []), ([], ["gone@1"])]


def test_an_envoy_that_comes_again_gets_routes_once_their_clusters_serve(tmp_path: Path) -> None:
    """Also when a change comes meanwhile. From then on changes are as ever."""
    write(tmp_path, "2", "b@1")
    later = Later()
    service = served(tmp_path, later)
    envoy = Envoy(service)
    envoy.ask(CLUSTERS, "*", had={"a@1": "a@1"})
    envoy.ask(ROUTES, "tollgate", had={"tollgate": "1"})
    service.changed()
    assert envoy.told == [(["b@1"], [])]
    envoy.answer(envoy.last)
    assert envoy.told == [(["b@1"], []), (["tollgate"], [])]
    envoy.answer(envoy.last)
    later.come()
    assert envoy.told[2:] == [([], ["a@1"])]
    write(tmp_path, "3", "c@1")
    service.changed()
    assert envoy.told[3:] == [(["c@1"], ["b@1"]), (["tollgate"], [])]


def test_a_cluster_that_does_not_serve_holds_up_the_routes_for_a_while_only(
    tmp_path: Path,
) -> None:
    """An Envoy that has left by then is sent nothing."""
    write(tmp_path, "2", "slow@1")
    later = Later()
    service = served(tmp_path, later)
    envoy, gone = Envoy(service), Envoy(service)
    for each in (envoy, gone):
        each.ask(CLUSTERS, "*", had={"a@1": "a@1"})
        each.ask(ROUTES, "tollgate", had={"tollgate": "1"})
    gone.stream.ended(whole=False)
    later.come()
    assert envoy.told == [(["slow@1"], []), (["tollgate"], []), ([], ["a@1"])]
    assert gone.told == [(["slow@1"], [])]


def test_an_envoy_gets_the_secrets_that_it_asks_for_alone(tmp_path: Path) -> None:
    """Also one that comes later, and one that it has forgotten since."""
    write(tmp_path, "1", secrets=("secret-a", "secret-b"))
    service = served(tmp_path)
    envoy = Envoy(service)
    envoy.ask(SECRETS, "secret-a")
    envoy.ask(SECRETS, "secret-c")
    assert envoy.told == [(["secret-a"], [])]
    write(tmp_path, "1", secrets=("secret-a", "secret-b", "secret-c"))
    service.changed()
    assert envoy.told[1:] == [(["secret-c"], [])]
    envoy.leave(SECRETS, "secret-a")
    write(tmp_path, "1", secrets=("secret-c",))
    service.changed()
    assert len(envoy.told) == 2
    envoy.ask(SECRETS, "secret-c")
    assert envoy.told[2:] == [(["secret-c"], [])]


def test_types_that_are_not_ours_and_odd_messages_are_left_alone(tmp_path: Path) -> None:
    """An Envoy may ask for listeners on the same stream."""
    write(tmp_path, "1")
    envoy = Envoy(served(tmp_path))
    envoy.ask("type.googleapis.com/envoy.config.listener.v3.Listener")
    assert (envoy.call.sent, envoy.call.closed) == ([], None)
    envoy.stream.received(b"\xff")
    assert envoy.call.closed == Status.INVALID_ARGUMENT


def test_what_an_envoy_that_has_left_had_said_no_longer_counts(tmp_path: Path) -> None:
    write(tmp_path, "1")
    envoy = Envoy(served(tmp_path))
    envoy.ask(ROUTES, "tollgate")
    envoy.answer(envoy.last, "wrong")
    assert [each.detail for each in verdicts(tmp_path)] == ["wrong"]
    envoy.stream.ended(whole=True)
    assert (verdicts(tmp_path), envoy.call.closed) == ([], Status.OK)


def test_a_worker_that_stops_ends_the_streams(tmp_path: Path) -> None:
    """They have no end of their own, and it would wait for them."""
    write(tmp_path, "1")
    service = served(tmp_path)
    envoy = Envoy(service)
    service.end_all()
    assert envoy.call.closed == Status.OK

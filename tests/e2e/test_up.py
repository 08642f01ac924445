"""`tollgate up`: what starts, what it says, and how it ends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tollgate.gateway.supervisor import Programs
from tollgate.settings import EXAMPLE_FILE

ROOT = Path(__file__).parents[2]
OK = 200
PASSWORD = "p4ssw0rd-of-the-store"
CHAT = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}
# In grpc mode workers and admin server are stand-ins, so that the supervisor alone is tested; in
# native mode they are our own.
PROGRAMS = {"grpc": "tests.e2e.standin", "native": "tollgate.commands.main"}
HEADERS = {
    "grpc": {"test-route": "gpt-4o", "authorization": "Bearer sk-any"},
    "native": {"authorization": "Bearer sk-1234"},
}


@dataclass(frozen=True, slots=True)
class Gateway:
    """A running `tollgate up`, in a temporary folder of its own that its processes can
    be told by.
    """

    process: subprocess.Popen[str]
    folder: Path
    lines: list[str]
    mode: str

    @property
    def url(self) -> str:
        return self.lines[-1].removeprefix("ready: ")

    def chat(self, **controls: str) -> int:
        """The status of a chat; raises httpx.HTTPError when it is cut.

        `controls`: of the built-in provider.
        """
        headers = HEADERS[self.mode] | {
            f"x-mock-{name.replace('_', '-')}": value for name, value in controls.items()
        }
        return httpx.post(
            f"{self.url}/v1/chat/completions", json=CHAT, headers=headers, timeout=25
        ).status_code

    def pids(self, name: str = "") -> list[int]:
        """The processes of this gateway, those whose command holds `name`."""
        return [
            pid for pid, command in commands() if str(self.folder) in command and name in command
        ]

    def end(self, number: signal.Signals) -> int:
        """Send a signal and wait for the end; gives the exit code."""
        self.process.send_signal(number)
        return self.process.wait(60)


def commands() -> Iterator[tuple[int, str]]:
    """Every process's id and command line (Linux)."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                yield (
                    int(entry.name),
                    (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"),
                )
            except OSError:
                continue


def eventually(true: Callable[[], object]) -> bool:
    """Whether it becomes true within a minute: several processes may have to start on a busy
    machine.
    """
    deadline = time.monotonic() + 60
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def arguments(folder: Path, *more: str, mode: str = "grpc") -> list[str]:
    return [
        sys.executable,
        "-m",
        PROGRAMS[mode],
        "up",
        "--mode",
        mode,
        "--state-dir",
        str(folder / "state"),
        "--workers",
        "1",
        *more,
    ]


def start(folder: Path, mode: str, *more: str) -> Gateway:
    """Start a gateway on a free port and wait until it is ready."""
    output = folder / "output"
    with output.open("w") as file:
        process: subprocess.Popen[str] = subprocess.Popen(
            arguments(folder, "--port", "0", *more, mode=mode),
            cwd=ROOT,
            env=os.environ | {"TMPDIR": str(folder)},
            stdout=file,
            text=True,
        )
    if not eventually(lambda: "\nready: " in output.read_text() or process.poll() is not None):
        process.kill()
        raise AssertionError(f"not ready: {output.read_text()}")
    return Gateway(process, folder, output.read_text().splitlines(), mode)


def finished(folder: Path, *more: str, **environment: str) -> tuple[int, str]:
    """Run `tollgate up` to its end; gives exit code and what it complained of."""
    done = subprocess.run(
        arguments(folder, *more),
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(folder)} | environment,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    return done.returncode, done.stderr


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short name: Unix sockets go below it."""
    with tempfile.TemporaryDirectory(prefix="tg-") as name:
        yield Path(name)


@pytest.fixture
def locked_store(folder: Path) -> Iterator[str]:
    """The URL of a store that asks for a password, which stands in a file of its own."""
    place = folder / "locked.sock"
    (folder / "locked.conf").write_text(
        f"port 0\nunixsocket {place}\nrequirepass {PASSWORD}\nsave ''\n"
    )
    with subprocess.Popen(
        [*Programs().valkey, str(folder / "locked.conf")], stdout=subprocess.DEVNULL
    ) as server:
        assert eventually(place.exists)
        yield f"unix://:{PASSWORD}@{place}"
        server.terminate()


@pytest.fixture(scope="module", params=PROGRAMS)
def shared(request: pytest.FixtureRequest) -> Iterator[Gateway]:
    """One gateway for the tests that leave it as it is."""
    with tempfile.TemporaryDirectory(prefix="tg-") as name:
        gateway = start(Path(name), request.param)
        yield gateway
        gateway.end(signal.SIGTERM)


@pytest.fixture(params=PROGRAMS)
def gateway(request: pytest.FixtureRequest, folder: Path) -> Iterator[Gateway]:
    """A gateway for one test to end."""
    running = start(folder, request.param)
    yield running
    running.process.kill()
    running.process.wait()


def test_each_part_has_its_line_and_the_last_one_says_ready(shared: Gateway) -> None:
    """Order: what others rest on comes first."""
    names = [line.split()[0] for line in shared.lines if not line.startswith("notice")]
    assert names == ["valkey", "worker-0", "admin", "recorder", "mock-llm", "envoy", "ready:"]


def test_a_call_goes_through_envoy_and_worker_to_the_built_in_provider(shared: Gateway) -> None:
    """The example file needs no provider key."""
    reply = httpx.post(f"{shared.url}/v1/chat/completions", json=CHAT, headers=HEADERS[shared.mode])
    assert (reply.status_code, reply.json()["object"]) == (200, "chat.completion")


def test_management_goes_to_the_admin_server(shared: Gateway) -> None:
    """On the gateway's own port."""
    path = {"grpc": "/key/info", "native": "/health/liveliness"}[shared.mode]
    assert (
        httpx.get(shared.url + path).json()
        == {"grpc": {"ok": True}, "native": "I'm alive!"}[shared.mode]
    )


def test_the_runtime_folder_is_private(shared: Gateway) -> None:
    """Envoy's file is its owner's alone, and holds no provider key."""
    (file,) = shared.folder.glob("tollgate-*/envoy.json")
    assert (oct(file.stat().st_mode & 0o777), "mock-provider-key" in file.read_text()) == (
        "0o600",
        False,
    )


def test_provider_keys_are_in_envoys_environment_and_nobody_elses(shared: Gateway) -> None:
    """Neither the store nor a worker gets them."""
    having = {
        Path(f"/proc/{pid}/exe").resolve().name
        for pid in shared.pids()
        if b"mock-provider-key" in Path(f"/proc/{pid}/environ").read_bytes()
    }
    assert having == {"envoy"}


def test_a_port_in_use_is_one_sentence(shared: Gateway, folder: Path) -> None:
    """Exit code 1, and the state folder is not touched."""
    port = shared.url.rpartition(":")[2]
    code, complaint = finished(folder, "--port", port)
    assert (code, complaint, list(folder.iterdir())) == (
        1,
        (
            f"tollgate: port {port} on 127.0.0.1 is in use: stop the program that uses it, or"
            " choose another with --port\n"
        ),
        [],
    )


def test_a_state_folder_in_use_is_one_sentence(shared: Gateway, folder: Path) -> None:
    """Two stores on one file would destroy it."""
    state = shared.folder / "state"
    code, complaint = finished(folder, "--port", "0", "--state-dir", str(state))
    assert (
        code,
        complaint.count("\n"),
        f"the state folder {state} is in use by another Tollgate" in complaint,
    ) == (
        1,
        1,
        True,
    )


def test_a_worker_that_dies_is_started_again(shared: Gateway) -> None:
    """Requests pass again soon."""
    (before,) = shared.pids("worker-0.sock")
    os.kill(before, signal.SIGKILL)
    assert (eventually(lambda: shared.chat() == 200), shared.pids("worker-0.sock") != [before]) == (
        True,
        True,
    )


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("model_list: [", "is not valid YAML"),
        ("tollgate: {colour: red}", "tollgate.colour"),
        (
            (
                "model_list: [{model_name: m, litellm_params: {model: openai/m, api_key:"
                " os.environ/NOT_THERE}}]"
            ),
            "m: the environment variable NOT_THERE is not set",
        ),
    ],
)
def test_a_broken_file_is_one_sentence(folder: Path, text: str, complaint: str) -> None:
    """Exit code 1 before anything is started."""
    (folder / "file.yaml").write_text(text)
    code, said = finished(folder, "--port", "0", "--config", str(folder / "file.yaml"))
    assert (code, complaint in said, said.count("\n")) == (1, True, 1)


def test_a_folder_that_a_killed_gateway_left_is_gone_after_the_next_start(folder: Path) -> None:
    killed = start(folder, "grpc")
    killed.end(signal.SIGKILL)
    assert eventually(lambda: killed.pids() == [])
    (left,) = folder.glob("tollgate-*")
    again = start(folder, "grpc")
    try:
        assert left not in folder.glob("tollgate-*")
    finally:
        again.end(signal.SIGTERM)


def test_an_envoy_that_cannot_run_ends_everything(folder: Path) -> None:
    """What was started before it is stopped again, and the sentence names the program."""
    code, complaint = finished(folder, "--port", "0", "--envoy", "/nonexistent/envoy")
    left = [command for _, command in commands() if str(folder) in command]
    assert (code, "/nonexistent/envoy: No such file" in complaint, left) == (1, True, [])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_calls_in_flight_finish(gateway: Gateway, number: signal.Signals) -> None:
    """Exit code 0; the call that ran is whole; nothing is left running, no folder, no port."""
    host, _, port = gateway.url.removeprefix("http://").rpartition(":")
    replies: list[int] = []
    # Longer than anything but the drain's own time would let it run.
    call = threading.Thread(target=lambda: replies.append(gateway.chat(latency_ms="7000")))
    call.start()
    time.sleep(0.5)
    code = gateway.end(number)
    call.join()
    with socket.socket() as probe:
        refused = probe.connect_ex((host, int(port))) != 0
    left = {path.name for path in gateway.folder.iterdir()}
    assert (code, replies, refused, gateway.pids(), left) == (
        0,
        [200],
        True,
        [],
        {"state", "output"},
    )


@dataclass(frozen=True, slots=True)
class CallInFlight:
    """A call that takes longer than the test waits; `cut` once it broke, or Envoy said that its
    provider did.
    """

    thread: threading.Thread
    cut: list[bool]

    @classmethod
    def of(cls, gateway: Gateway) -> CallInFlight:
        cut: list[bool] = []

        def send() -> None:
            try:
                cut.append(gateway.chat(latency_ms="20000") != OK)
            except httpx.HTTPError:
                cut.append(True)

        thread = threading.Thread(target=send)
        thread.start()
        time.sleep(0.5)
        return cls(thread, cut)


def test_a_second_signal_cuts_calls_and_stops_in_order(gateway: Gateway) -> None:
    """Exit code 0 long before the drain's time is over; nothing is left running."""
    call = CallInFlight.of(gateway)
    gateway.process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    code = gateway.end(signal.SIGTERM)
    call.thread.join()
    assert (code, call.cut, gateway.pids()) == (0, [True], [])


def test_a_third_signal_kills_everything(gateway: Gateway) -> None:
    """Exit code 1; the call is cut; nothing is left running."""
    call = CallInFlight.of(gateway)
    for _ in range(2):
        gateway.process.send_signal(signal.SIGINT)
        time.sleep(0.3)
    code = gateway.end(signal.SIGINT)
    call.thread.join()
    assert (code, call.cut, gateway.pids()) == (1, [True], [])


def test_calls_in_flight_get_no_longer_than_the_setting_says(folder: Path) -> None:
    """With drain_seconds: 1 a call of 20 seconds is cut."""
    text = EXAMPLE_FILE.read_text() + "\ntollgate: {drain_seconds: 1}\n"
    (folder / "file.yaml").write_text(text)
    gateway = start(folder, "native", "--config", str(folder / "file.yaml"))
    call = CallInFlight.of(gateway)
    code = gateway.end(signal.SIGTERM)
    call.thread.join()
    assert (code, call.cut) == (0, [True])


def test_the_stores_password_is_in_no_arguments(folder: Path, locked_store: str) -> None:
    """Everybody on the machine may read the arguments of every process."""
    text = EXAMPLE_FILE.read_text() + f"\ntollgate: {{redis_url: '{locked_store}'}}\n"
    (folder / "file.yaml").write_text(text)
    gateway = start(folder, "native", "--config", str(folder / "file.yaml"))
    try:
        served = gateway.chat()
        told = [command for _, command in commands() if PASSWORD in command]
    finally:
        gateway.end(signal.SIGTERM)
    assert (served, told) == (200, [])


def test_sigkill_leaves_no_orphan(gateway: Gateway) -> None:
    """The kernel tells every part that its parent is gone (Linux)."""
    gateway.end(signal.SIGKILL)
    assert eventually(lambda: gateway.pids() == [])


def test_envoys_end_ends_everything(gateway: Gateway) -> None:
    """Without it nothing can be served: exit code 1, nothing left."""
    (envoy,) = gateway.pids("envoy.json")
    os.kill(envoy, signal.SIGKILL)
    assert (gateway.process.wait(60), gateway.pids()) == (1, [])


def test_serve_runs_everything_but_envoy(folder: Path) -> None:
    """Workers and management on the addresses of the file, until told to stop."""
    sockets = "".join(
        f", serve_{name}: 'unix:{folder}/{name}'" for name in ("grpc", "native", "http")
    )
    (folder / "file.yaml").write_text(
        f"tollgate: {{workers: 1, state_dir: {folder}/state{sockets}}}"
    )
    command = [
        sys.executable,
        "-m",
        "tests.e2e.standin",
        "serve",
        "--config",
        str(folder / "file.yaml"),
    ]
    with subprocess.Popen(
        command, cwd=ROOT, env=os.environ | {"TMPDIR": str(folder)}, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        lines = []
        while not (line := process.stdout.readline().decode()).startswith("ready:"):
            lines.append(line.split()[0])
        process.send_signal(signal.SIGTERM)
        code = process.wait(20)
    assert (lines, line, code) == (
        ["notice:", "valkey", "worker-0", "admin", "recorder"],
        f"ready: grpc unix:{folder}/grpc, native unix:{folder}/native, http unix:{folder}/http\n",
        0,
    )

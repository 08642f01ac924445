"""`tollgate up`: what starts, what it says, and how it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.e2e.started_gateway import (
    CHAT,
    HEADERS,
    PROGRAMS,
    ROOT,
    Gateway,
    commands,
    eventually,
    finished,
    folder,
    start,
)

from tollgate.gateway.supervisor import Programs
from tollgate.settings import EXAMPLE_FILE

__all__ = ["folder"]

PASSWORD = "p4ssw0rd-of-the-store"


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


def test_provider_keys_are_in_no_environment(shared: Gateway) -> None:
    """Envoy reads them from files, and neither the store nor a worker gets them."""
    having = {
        Path(f"/proc/{pid}/exe").resolve().name
        for pid in shared.pids()
        if b"mock-provider-key" in Path(f"/proc/{pid}/environ").read_bytes()
    }
    assert having == set()


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

"""How a gateway stops: signals, a second and a third one, and what a part that dies ends."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from tests.e2e.started_gateway import (
    OK,
    Gateway,
    eventually,
    folder,
    gateway,
    start,
)

from tollgate.settings import EXAMPLE_FILE

__all__ = ["folder", "gateway"]


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


def test_sigkill_leaves_no_orphan(gateway: Gateway) -> None:
    """The kernel tells every part that its parent is gone (Linux)."""
    gateway.end(signal.SIGKILL)
    assert eventually(lambda: gateway.pids() == [])


def test_envoys_end_ends_everything(gateway: Gateway) -> None:
    """Without it nothing can be served: exit code 1, nothing left."""
    (envoy,) = gateway.pids("envoy.json")
    os.kill(envoy, signal.SIGKILL)
    assert (gateway.process.wait(60), gateway.pids()) == (1, [])

"""The management API over memory, on a real port, for tests of commands."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI
from tests.fakes import FixedClock
from tests.unit.management_fixtures import MASTER, World

from tollgate.adapters.http_api import create_api


class ServedApi:
    """An API, and short ways to call it with the master key."""

    def __init__(self, url: str, api: FastAPI) -> None:
        self.url = url
        self._api = api
        self._client = httpx.Client(base_url=url, headers={"authorization": f"Bearer {MASTER}"})
        self.clock = FixedClock()
        self.forget()

    def forget(self) -> None:
        """Serve a gateway that knows nobody."""
        world = World()
        self.clock = world.clock
        self._api.state.management = world.management

    def get(self, path: str, **query: Any) -> Any:
        """The answer to a GET, which must succeed."""
        return _answer(self._client.get(path, params=query))

    def post(self, path: str, **members: Any) -> Any:
        """The answer to a POST, which must succeed."""
        return _answer(self._client.post(path, json=members))

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


def _answer(reply: httpx.Response) -> Any:
    assert reply.status_code == 200, reply.text
    return reply.json()


@contextmanager
def serving() -> Iterator[ServedApi]:
    """An API that knows nobody yet."""
    listener = socket.create_server(("127.0.0.1", 0))
    world = World()
    api = create_api(world.management, version="test", watched=world.watched)
    server = uvicorn.Server(uvicorn.Config(api, log_level="error", lifespan="off", ws="none"))
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    served = ServedApi(f"http://127.0.0.1:{listener.getsockname()[1]}", api)
    yield served
    served.close()
    server.should_exit = True
    thread.join()
    listener.close()

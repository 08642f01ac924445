"""Run commands against a gateway that answers in this process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import typer
from typer.testing import Result

from tollgate.commands import key, spend
from tollgate.commands.groups import GROUPS
from tollgate.commands.records.audit import audit

Run = Callable[..., Result]

tollgate = typer.Typer()
tollgate.add_typer(key.app, name="key")
tollgate.add_typer(spend.app, name="spend")
for group in GROUPS:
    tollgate.add_typer(group.app, name=group.name)
tollgate.command("audit")(audit)


@contextmanager
def answering(body: bytes) -> Iterator[str]:
    """A server that answers everything with one body."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815 - the library's name

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()

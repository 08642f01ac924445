"""Serve a process's own health and metrics, where it has no other port."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

from prometheus_client import REGISTRY, make_wsgi_app

_metrics = make_wsgi_app(REGISTRY)


@contextmanager
def health_served(address: str) -> Iterator[None]:
    """Serve `/health` and `/metrics` at `host:port`, in a thread."""
    host, _, port = address.rpartition(":")
    server = make_server(host.strip("[]"), int(port), _answer, handler_class=_Quiet)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _answer(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
    if environ["PATH_INFO"] == "/health":
        start("200 OK", [("content-type", "application/json")])
        return [b'{"status": "healthy"}\n']
    page: Iterable[bytes] = _metrics(environ, start)
    return page


class _Quiet(WSGIRequestHandler):
    """Without a log line for each request."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Log nothing."""

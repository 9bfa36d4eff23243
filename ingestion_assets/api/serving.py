"""An application in, an HTTP server that ends in good order out."""

import signal
import socket
from collections.abc import Callable
from contextlib import suppress

import uvicorn
from starlette.applications import Starlette

from ingestion_assets.api.protocol import Protocol
from ingestion_assets.errors import ConfigError, LocalServiceError

DRAIN = 25  # seconds that requests under way are given at SIGTERM; Kubernetes kills after 30
_BACKLOG = 2048
_IDLE = 65  # seconds that a connection is kept; longer than proxies do


def listen(host: str, port: int) -> socket.socket:
    """A bound socket; port 0 lets the system choose.

    Raises:
        ConfigError: the address is taken, or not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as exc:
        raise ConfigError(
            f"cannot listen on {host}:{port} ({exc}); set INGEST_API_HOST and INGEST_API_PORT"
        ) from exc


def url_of(listener: socket.socket) -> str:
    """Where a bound socket is found."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def serve(app: Starlette, listener: socket.socket) -> None:
    """Serve until SIGTERM or Ctrl-C; requests under way are finished first.

    Raises:
        LocalServiceError: it could not start.
    """
    server = uvicorn.Server(configuration(app))
    # uvicorn drains at a signal, and then raises it again for whoever had it before. One that comes
    # before uvicorn listens must not be lost either.
    previous = signal.signal(signal.SIGTERM, lambda *_: setattr(server, "should_exit", True))
    try:
        with suppress(KeyboardInterrupt):
            server.run([listener])
    finally:
        signal.signal(signal.SIGTERM, previous)
    if not server.started:
        raise LocalServiceError("the API did not start; the lines above say why")


def configuration(app: Callable[..., object]) -> uvicorn.Config:
    """How uvicorn serves the application."""
    return uvicorn.Config(
        app,
        http=Protocol,
        ws="none",
        lifespan="on",
        log_config=None,  # as everything else in the process
        log_level="warning",
        access_log=False,  # queries are nobody's business
        server_header=False,
        proxy_headers=False,  # anyone could claim to be another client
        timeout_keep_alive=_IDLE,
        timeout_graceful_shutdown=DRAIN,
    )

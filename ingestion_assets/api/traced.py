"""Requests in, a span for each out, in the trace that its client began."""

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ingestion_assets import tracing

_PREFIX = "/api/"  # probes and scrapes are nobody's trace


class Traced:
    """ASGI middleware: goes on with the trace of `traceparent`, where traces are wanted.

    Args:
        paths: that have a span; no client may invent further ones.
    """

    def __init__(self, app: ASGIApp, paths: frozenset[str]) -> None:
        self._app = app
        self._paths = frozenset(path for path in paths if path.startswith(_PREFIX))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] not in self._paths:
            await self._app(scope, receive, send)
            return

        async def noted(message: Message) -> None:
            if message["type"] == "http.response.start":
                tracing.note({"http.response.status_code": message["status"]})
            await send(message)

        path, method = scope["path"], scope["method"]
        of = {"http.request.method": method, "http.route": path}
        with tracing.span(f"request {path}", of, carrier=Headers(scope=scope)):
            await self._app(scope, receive, noted)

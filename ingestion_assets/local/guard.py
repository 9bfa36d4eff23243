"""Keeps web pages away from a server on loopback, as Ollama does: Host and Origin are checked."""

import ipaddress
import socket
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

_LOCAL_SUFFIXES = (".localhost", ".local", ".internal")
_APP_SCHEMES = ("app", "file", "tauri", "vscode-webview", "vscode-file")


class Guard:
    """ASGI middleware: 403 with an empty body for a foreign Host or Origin."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            if not (host_allowed(headers.get("host", "")) and origin_allowed(headers)):
                await Response(status_code=403)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def host_allowed(host: str) -> bool:
    """Whether a Host header names this machine or a private address."""
    name = _hostname(f"//{host}")
    if name in ("", "localhost", socket.gethostname().lower()) or name.endswith(_LOCAL_SUFFIXES):
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    return address.is_private or address.is_loopback or address.is_unspecified


def origin_allowed(headers: Headers) -> bool:
    """Whether there is no Origin, or one of this machine's own."""
    origin = headers.get("origin")
    if origin is None:
        return True
    scheme, _, rest = origin.partition("://")
    if scheme in _APP_SCHEMES or rest == headers.get("host"):
        return True
    return _hostname(origin) in ("localhost", "127.0.0.1", "0.0.0.0")


def _hostname(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").lower()
    except ValueError:
        return url  # malformed, so not a name of this machine

"""Who may ask: holders of the key, and no foreign web page."""

import base64
import hmac
import ipaddress

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ingestion_assets.api.errors import failure
from ingestion_assets.errors import ConfigError
from ingestion_assets.local.guard import host_allowed, origin_allowed

OPEN = "/health/live"
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"
    " img-src 'self' data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": PAGE_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class Access:
    """ASGI middleware: 401 without the key, 403 for a request that another site has made.

    A browser is asked for the key as a password (Basic), so the search page works with one too.

    Args:
        key: what has to be sent; none means everybody on this machine may ask.
    """

    def __init__(self, app: ASGIApp, key: str | None) -> None:
        self._app = app
        self._key = key.encode() if key else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        app: ASGIApp = self._app
        if not origin_allowed(headers):
            app = failure(403, "the Origin is another site's")
        elif self._key is None and not host_allowed(headers.get("host", "")):
            # A name that somebody else has pointed at this machine (DNS rebinding).
            app = failure(403, "the Host is not this machine's; set INGEST_API_KEY to allow any")
        elif self._key and scope["path"] != OPEN and not _holds(self._key, headers):
            detail = "send the key as `Authorization: Bearer …` or `X-API-Key: …`"
            app = failure(401, detail, {"WWW-Authenticate": 'Basic realm="ingest", Bearer'})
        await app(scope, receive, _with_headers(send))


def check_address(host: str, key: str | None) -> None:
    """Refuse to serve other machines without a key.

    Raises:
        ConfigError: the address is not loopback, and there is no key.
    """
    if key is None and not _is_loopback(host):
        raise ConfigError(
            f"INGEST_API_HOST={host!r} lets other machines search everything that is stored;"
            " set INGEST_API_KEY too, or bind to 127.0.0.1"
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _holds(key: bytes, headers: Headers) -> bool:
    given = [headers.get("x-api-key", "").encode("latin-1")]
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        given.append(value.strip().encode("latin-1"))
    elif scheme.lower() == "basic":
        given.append(_password(value))
    return any([hmac.compare_digest(each, key) for each in given])  # noqa: C419  all, always


def _password(credentials: str) -> bytes:
    try:
        return base64.b64decode(credentials.strip(), validate=True).partition(b":")[2]
    except ValueError:
        return b""


def _with_headers(send: Send) -> Send:
    async def sender(message: Message) -> None:
        if message["type"] == "http.response.start":
            present = {name.lower() for name, _ in message["headers"]}
            message["headers"] = [
                *message["headers"],
                *(
                    (name.lower().encode(), value.encode())
                    for name, value in _HEADERS.items()
                    if name.lower().encode() not in present
                ),
            ]
        await send(message)

    return sender

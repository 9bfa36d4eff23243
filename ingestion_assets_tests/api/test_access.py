"""Only holders of the key are served, and no other site's page."""

import base64

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from ingestion_assets.api.access import Access, check_address
from ingestion_assets.errors import ConfigError

KEY = "sécret-key"


async def _hello(_: Request) -> Response:
    return PlainTextResponse("hello")


async def _get(key: str | None, path: str = "/", **headers: str | bytes) -> httpx.Response:
    named = [(name.replace("_", "-").encode(), _raw(value)) for name, value in headers.items()]
    app = Starlette(
        routes=[Route(path, _hello) for path in ("/", "/health/live", "/metrics")],
        middleware=[Middleware(Access, key)],
    )
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
        if "host" not in headers:
            named.append((b"host", b"localhost:8000"))
        return await http.get(path, headers=named)


def _raw(value: str | bytes) -> bytes:
    return value.encode() if isinstance(value, str) else value


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": f"Bearer {KEY}".encode()},
        {"Authorization": f"bearer  {KEY}".encode()},
        {"X_API_Key": KEY.encode()},
        {"Authorization": _basic("anyone", KEY)},
    ],
)
async def test_key_opens_in_every_form(headers):
    assert (await _get(KEY, **headers)).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": b"Bearer wrong"},
        {"Authorization": b"Bearer"},
        {"Authorization": KEY.encode()},
        {"Authorization": _basic(KEY, "wrong")},
        {"Authorization": "Basic !!!"},
        {"Authorization": b"Basic \xff\xfe"},
        {"X_API_Key": b""},
        {"X_API_Key": KEY[:-1].encode()},
        {"X_API_Key": f"{KEY}x".encode()},
    ],
)
@pytest.mark.parametrize("path", ["/", "/metrics"])
async def test_nothing_else_does(headers, path):
    answer = await _get(KEY, path, **headers)
    assert answer.status_code == 401
    assert answer.json()["error"] == "unauthorized"
    assert "Basic" in answer.headers["www-authenticate"]
    assert KEY not in answer.text


async def test_liveness_needs_no_key():
    assert (await _get(KEY, "/health/live")).status_code == 200


async def test_without_a_key_this_machine_is_served():
    assert (await _get(None)).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000"])
async def test_a_foreign_name_for_this_machine_is_refused_without_a_key(host):
    answer = await _get(None, host=host)
    assert answer.status_code == 403
    assert "Host" in answer.json()["detail"]
    assert (await _get(KEY, host=host, X_API_Key=KEY.encode())).status_code == 200


@pytest.mark.parametrize("key", [None, KEY])
async def test_requests_of_other_sites_are_refused(key):
    for origin in ("https://evil.example", "null"):
        answer = await _get(key, origin=origin, X_API_Key=KEY.encode())
        assert answer.status_code == 403
    own = await _get(key, origin="http://localhost:8000", X_API_Key=KEY.encode())
    assert own.status_code == 200


async def test_every_answer_tells_browsers_to_be_careful():
    for answer in (await _get(None), await _get(KEY), await _get(None, origin="https://evil")):
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.9.9.9"])
def test_loopback_needs_no_key(host):
    check_address(host, None)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "gpu1", ""])
def test_other_addresses_are_refused_without_a_key(host):
    check_address(host, KEY)
    with pytest.raises(ConfigError, match="set INGEST_API_KEY"):
        check_address(host, None)

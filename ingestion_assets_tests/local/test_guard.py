"""Web pages of other origins cannot reach a server on loopback."""

import pytest
from starlette.datastructures import Headers

from ingestion_assets.local.guard import host_allowed, origin_allowed


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("localhost:11434", True),
        ("127.0.0.1", True),
        ("[::1]:11434", True),
        ("192.168.1.7:11434", True),
        ("gpu.local", True),
        ("host.docker.internal:11434", True),
        ("example.com", False),
        ("8.8.8.8", False),
        ("localhost.example.com", False),
        ("[broken", False),
    ],
)
def test_only_hosts_of_ones_own_network_are_served(host, allowed):
    assert host_allowed(host) is allowed


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("http://localhost:3000", True),
        ("https://127.0.0.1", True),
        ("app://obsidian.md", True),
        ("http://gpu:11434", True),
        ("https://example.com", False),
        ("null", False),
    ],
)
def test_only_local_pages_are_served(origin, allowed):
    assert origin_allowed(Headers({"origin": origin, "host": "gpu:11434"})) is allowed

"""OLLAMA_HOST in, base URL out, by Ollama's own rules."""

import ipaddress
from urllib.parse import urlsplit

from ingestion_assets.errors import ConfigError

DEFAULT_PORT = "11434"
_SCHEME_PORTS = {"http": "80", "https": "443"}


def parse_host(value: str | None) -> str:
    """The base URL a client connects to, port included, without a trailing slash.

    A bare host means port 11434, but `http://myhost` means port 80: that is Ollama's rule.

    Raises:
        ConfigError: a scheme other than http and https, or credentials in the value.

    Source: envconfig/config.go, https://github.com/ollama/ollama
    """
    given = (value or "").strip().strip("\"'").strip()
    if given == "ollama.com":
        return "https://ollama.com:443"
    scheme, separator, rest = given.partition("://")
    if not separator:
        scheme, rest = "http", given
    authority, _, path = rest.partition("/")
    _refuse(scheme, authority)
    default_port = _SCHEME_PORTS[scheme] if separator else DEFAULT_PORT
    host, port = _split(authority, default_port)
    base = f"{scheme}://{_bracketed(_connectable(host))}:{port}"
    return f"{base}/{path}".rstrip("/")


def is_loopback(base_url: str) -> bool:
    """Whether a base URL leads to this very machine."""
    host = urlsplit(base_url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _refuse(scheme: str, authority: str) -> None:
    if scheme not in _SCHEME_PORTS:
        raise ConfigError(f"OLLAMA_HOST has the scheme {scheme!r}; use http:// or https://")
    if "@" in authority:
        raise ConfigError("OLLAMA_HOST holds credentials; put the token into OLLAMA_API_KEY")


def _split(authority: str, default_port: str) -> tuple[str, str]:
    head, colon, port = authority.rpartition(":")
    bracketed = head.startswith("[") and head.endswith("]")
    if not colon or (":" in head and not bracketed) or authority.endswith("]"):
        return authority.strip("[]"), default_port
    valid = port.isascii() and port.isdigit() and int(port) <= 65535
    return head.strip("[]"), port if valid else default_port


def _connectable(host: str) -> str:
    """Ollama's client side: an address to listen on becomes one to connect to."""
    return {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host

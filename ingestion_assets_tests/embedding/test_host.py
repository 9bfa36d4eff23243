import pytest

from ingestion_assets.embedding.host import is_loopback, parse_host
from ingestion_assets.errors import ConfigError


@pytest.mark.parametrize(
    ("value", "url"),
    [
        (None, "http://127.0.0.1:11434"),
        ("", "http://127.0.0.1:11434"),
        ("1.2.3.4", "http://1.2.3.4:11434"),
        (":1234", "http://127.0.0.1:1234"),
        ("1.2.3.4:1234", "http://1.2.3.4:1234"),
        ("example.com", "http://example.com:11434"),
        ("example.com:1234", "http://example.com:1234"),
        (":0", "http://127.0.0.1:0"),
        (":66000", "http://127.0.0.1:11434"),
        (":-1", "http://127.0.0.1:11434"),
        ("example.com:abc", "http://example.com:11434"),
        ("[::1]", "http://[::1]:11434"),
        ("[::]", "http://[::1]:11434"),
        ("::1", "http://[::1]:11434"),
        ("::", "http://[::1]:11434"),
        ("[::1]:1337", "http://[::1]:1337"),
        ("0.0.0.0", "http://127.0.0.1:11434"),
        ("0.0.0.0:80", "http://127.0.0.1:80"),
        (" 1.2.3.4 ", "http://1.2.3.4:11434"),
        ('"1.2.3.4"', "http://1.2.3.4:11434"),
        (' " 1.2.3.4 " ', "http://1.2.3.4:11434"),
        ("'1.2.3.4'", "http://1.2.3.4:11434"),
        ("http://1.2.3.4", "http://1.2.3.4:80"),
        ("http://1.2.3.4:4321", "http://1.2.3.4:4321"),
        ("https://1.2.3.4", "https://1.2.3.4:443"),
        ("https://1.2.3.4:4321", "https://1.2.3.4:4321"),
        ("https://example.com/ollama", "https://example.com:443/ollama"),
        ("https://example.com/ollama/", "https://example.com:443/ollama"),
        ("example.com/ollama", "http://example.com:11434/ollama"),
        ("http://[::1]:99999/x", "http://[::1]:80/x"),
        ("ollama.com", "https://ollama.com:443"),
    ],
)
def test_host_is_read_by_ollamas_rules(value: str | None, url: str) -> None:
    assert parse_host(value) == url
    assert parse_host(url) == url


def test_other_schemes_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"'ftp'; use http://"):
        parse_host("ftp://example.com")


def test_credentials_are_refused_and_not_repeated() -> None:
    with pytest.raises(ConfigError, match="OLLAMA_API_KEY") as caught:
        parse_host("https://user:hunter2@example.com")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "loopback"),
    [
        ("http://127.0.0.1:11434", True),
        ("http://[::1]:11434", True),
        ("http://localhost:1", True),
        ("http://10.0.0.1:11434", False),
        ("https://example.com:443", False),
    ],
)
def test_loopback_is_recognised(url: str, loopback: bool) -> None:
    assert is_loopback(url) is loopback

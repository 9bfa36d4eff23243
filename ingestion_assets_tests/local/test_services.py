"""What is configured is used; what is missing is started, and said."""

import socket
from threading import Thread

import pytest
import uvicorn

from ingestion_assets.local import services
from ingestion_assets.local.embedder import application
from ingestion_assets.local.services import (
    builtin_embedder,
    database_service,
    is_ollama,
    local_services,
    ollama_service,
)
from ingestion_assets.settings import Settings


@pytest.fixture
def no_ollama(monkeypatch):
    """A default address at which nothing answers, whatever runs on this machine."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    monkeypatch.setattr(services, "DEFAULT_OLLAMA", f"http://127.0.0.1:{port}")


def test_configured_servers_are_used_without_a_word(tmp_path):
    settings = Settings("postgresql://db/x", "http://gpu:11434", state=tmp_path)
    with local_services(settings) as found:
        assert (found.database_url, found.ollama_host) == ("postgresql://db/x", "http://gpu:11434")
        assert found.notes == ()
    assert list(tmp_path.iterdir()) == []


def test_missing_servers_are_started_and_noted(tmp_path, no_ollama):
    with local_services(Settings(state=tmp_path)) as found:
        assert is_ollama(found.ollama_host)
        database, embedder = found.notes
    assert "embedded Postgres" in database
    assert embedder == (
        f"No Ollama found: using the built-in all-MiniLM-L6-v2 (CPU) at {found.ollama_host}"
    )
    assert not is_ollama(found.ollama_host)


def test_one_server_can_be_had_alone(tmp_path):
    with database_service(Settings(state=tmp_path)):
        assert [path.name for path in tmp_path.iterdir()] == ["postgres"]


def test_a_second_user_joins_the_embedder(tmp_path, no_ollama):
    with builtin_embedder(tmp_path) as first, ollama_service(Settings(state=tmp_path)) as second:
        assert second.address == first.address


def test_a_running_ollama_is_preferred(tmp_path, embedder, monkeypatch):
    monkeypatch.setattr(services, "DEFAULT_OLLAMA", embedder)
    with ollama_service(Settings(state=tmp_path)) as found:
        assert found.address == embedder
    assert list(tmp_path.iterdir()) == []


def test_another_server_on_ollamas_port_is_not_taken_for_it(tmp_path):
    async def hello(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"hello"})

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(hello, log_level="error", lifespan="off"))
        thread = Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            assert not is_ollama(f"http://127.0.0.1:{listener.getsockname()[1]}")
        finally:
            server.should_exit = True
            thread.join()


def test_a_proxy_in_the_environment_is_not_asked(embedder, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert is_ollama(embedder)


def test_the_application_needs_no_model_to_start():
    assert not application().state.runner.loaded

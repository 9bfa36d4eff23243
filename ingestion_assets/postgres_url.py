"""A database URL in, what libpq reads in it out; no message quotes the password."""

from contextlib import suppress
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from ingestion_assets.errors import ConfigError

# A server that vanished without a word is noticed after a minute, instead of two hours.
KEEPALIVE = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}

_DEFAULTS = {"application_name": "ingestion-assets", "connect_timeout": 10}


def libpq_url(url: str) -> str:
    """Strip SQLAlchemy's driver name from a database URL."""
    scheme, separator, rest = url.partition("://")
    return f"{scheme.partition('+')[0]}{separator}{rest}" if separator else url


def parameters(url: str) -> dict[str, Any]:
    """What libpq reads in a URL, over our defaults; its own complaints would quote the password.

    Raises:
        ConfigError: the URL cannot be read.
    """
    given = None
    with suppress(psycopg.ProgrammingError):
        given = conninfo_to_dict(libpq_url(url))
    if given is None or _is_torn(given):
        raise ConfigError(
            "the database URL cannot be read; write postgresql://user:password@host:5432/database,"
            " with @ : / % and other marks in the password as %40 %3A %2F %25"
        )
    return {**_DEFAULTS, **given}


def _is_torn(given: dict[str, Any]) -> bool:
    """Whether an unescaped mark in the password made parts of it a host, a port or a database."""
    host, port = str(given.get("host", "")), str(given.get("port", ""))
    is_folder = host.startswith(("/", "@"))
    return (
        ("@" in host and not is_folder)
        or "@" in str(given.get("dbname", ""))
        or not all(number.isdigit() for number in port.split(",") if number)
    )

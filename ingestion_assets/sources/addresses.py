"""Where the documents of a source are, as sources.yaml says it: checked, and free of secrets."""

import re
from dataclasses import dataclass
from typing import Annotated, ClassVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from ingestion_assets.errors import ConfigError
from ingestion_assets.postgres_url import parameters

SECRET = "secret"  # the type of errors whose value must not be shown

# The keys that say where documents are, of which a source has one, and what else belongs to each.
ORIGINS = {
    "root": ("include", "exclude"),
    "python": ("arguments",),
    "postgres": (),
    "urls": ("delay",),
    "sitemap": ("include", "exclude", "delay"),
    "git": ("include", "exclude"),
    "url": ("include", "exclude"),
}

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*")


def check_function(python: str) -> str:
    """The name of a function itself, if it can be one."""
    module, _, name = python.partition(":")
    if not all(part.isidentifier() for part in [*module.split("."), name]):
        raise ValueError("names no function; write package.module:function")
    return python


def check_page(url: str) -> str:
    """The address of a page itself, if it can be asked for and has no password in it."""
    _check_no_password(url)
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("is no address of the web; write https://host/path")
    return url


def check_pages(urls: tuple[str, ...]) -> tuple[str, ...]:
    """The addresses themselves, if there are any."""
    if not urls:
        raise ValueError("names no page; write [https://host/path]")
    return urls


def check_remote(url: str) -> str:
    """An fsspec url itself, if it names a place and has no password in it."""
    _check_no_password(url)
    scheme, separator, place = url.partition("://")
    if scheme in ("http", "https"):
        raise ValueError("is of the web; use `urls` or `sitemap`")
    if not separator or not _SCHEME.fullmatch(scheme) or not place.strip("/"):
        raise ValueError("is no url of a store; write for example s3://bucket/prefix")
    return url


def _check_no_password(url: str) -> None:
    if "@" in url.partition("://")[2].partition("/")[0]:
        raise _secret("has a name or password in it; take them out, and give them by the")


def _secret(what: str) -> PydanticCustomError:
    return PydanticCustomError(SECRET, "{what} environment", {"what": what})


def _check_variable(name: str) -> str:
    if not _VARIABLE.fullmatch(name):
        raise _secret("names no variable; write the name of one, and the url into the")
    return name


def _check_database(url: str) -> str:
    try:
        given = parameters(url)
    except ConfigError as exc:
        raise PydanticCustomError(SECRET, "{what}", {"what": str(exc)}) from None
    if {"password", "sslpassword"} & given.keys():
        raise _secret(
            "has a password in it; name a variable in `url_env`, and put the url into the"
        )
    return url


def _check_query(query: str) -> str:
    bare = query.strip().rstrip(";").rstrip()
    if not bare:
        raise ValueError("asks for nothing; write SELECT … AS uri, … AS text FROM …")
    return bare


@dataclass(frozen=True, slots=True)
class Query:
    """What `postgres` says: a database, and the query whose rows are documents.

    Attributes:
        query: a SELECT with the columns `uri` and `text` or `content`.
        url_env: the environment variable that has the database's URL.
        url: the URL itself, which must have no password in it.
        timeout: seconds for a statement.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    query: Annotated[str, AfterValidator(_check_query)]
    url_env: Annotated[str, AfterValidator(_check_variable)] | None = None
    url: Annotated[str, AfterValidator(_check_database)] | None = None
    timeout: Annotated[float, Field(strict=True, gt=0, le=86_400)] = 30.0

    def __post_init__(self) -> None:
        if (self.url_env is None) == (self.url is None):
            raise PydanticCustomError(SECRET, "has both `url_env` and `url`, or none; write one")

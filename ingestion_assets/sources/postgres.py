"""A query in, its rows as documents out; read only, and no more of them than is needed."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, LiteralString

import psycopg
from psycopg import sql
from psycopg.errors import QueryCanceled
from psycopg.rows import TupleRow

from ingestion_assets.errors import ConfigError, SourceError
from ingestion_assets.postgres_url import KEEPALIVE, parameters
from ingestion_assets.sources.addresses import Query
from ingestion_assets.sources.origin import Absent, Found, Read, ending
from ingestion_assets.sources.record import Record, uri_problem
from ingestion_assets.sources.source import Source

_OWN = ("uri", "text", "content", "media_type", "title", "modified_at", "metadata")
_LISTED, _READ = 2000, 20  # rows that are fetched at once
_BYTEA = 17  # oid of the type

_COLUMNS = "SELECT * FROM ({query}\n) AS q LIMIT 0"
_LIST = "SELECT q.uri::text, {modified_at} FROM ({query}\n) AS q"
# A value over the limit does not leave the server; nor does a time that Python has no room for.
_TEXTS = """
SELECT q.uri::text, {size}, CASE WHEN {size} <= {most} THEN {content} END, {media_type}, {title},
       {modified_at}, {metadata}, {rest}
FROM ({query}
) AS q WHERE q.uri::text = ANY(%s)
"""
_TIME = """CASE WHEN {time}::timestamptz >= '0001-01-02' AND {time}::timestamptz < '9999-12-31'
                THEN {time}::timestamptz END"""

_Connection = psycopg.Connection[TupleRow]


class Rows:
    """The origin that is a query: every row is a document."""

    every: ClassVar[float | None] = 60.0
    sized: ClassVar[bool] = False

    def __init__(self, source: Source) -> None:
        if source.postgres is None:
            raise ValueError(f"source {source.name!r} has no `postgres`")
        self._source = source
        self._query = source.postgres
        self._there: Counter[str] = Counter()  # in all partitions, by ending

    @property
    def name(self) -> str:
        return f"postgres {self._query.url or f'${self._query.url_env}'}"

    def survey(self) -> Iterator[Found | SourceError]:
        with self._connected() as connection:
            yield from self._rows(connection, self._columns(connection))

    def watched(self) -> Iterator[Found | SourceError] | None:
        with self._connected() as connection:
            columns = self._columns(connection)
        return self.survey() if "modified_at" in columns.names else None

    def listed(self, partition_key: str) -> Iterator[Found | SourceError]:
        for found in self.survey():
            self._there[ending(found.uri)] += 1
            if self._source.partition_key(found.uri) == partition_key:
                yield found

    def read(self, wanted: Iterable[Found | Record]) -> Iterator[Read]:
        """The wanted rows by one query for all of them, however many they are."""
        left = {found.uri: None for found in wanted}
        if left:
            with self._connected() as connection:
                columns = self._columns(connection)
                statement = self._statement(_TEXTS, columns, doubled=True)
                for uri, *row in _fetched(connection, statement, _READ, [list(left)]):
                    if uri in left:  # else its uri came before
                        del left[uri]
                        yield self._document(uri, row)
        for uri in left:
            yield Absent(uri)

    def opened(self, uri: str) -> None:
        return None

    def present(self) -> Counter[str]:
        return self._there

    def is_empty(self) -> bool:
        return not self._there

    def _rows(self, connection: _Connection, columns: "_Columns") -> Iterator[Found | SourceError]:
        statement = self._statement(_LIST, columns)
        for number, (uri, at) in enumerate(_fetched(connection, statement, _LISTED), 1):
            if problem := uri_problem(uri):
                yield SourceError(f"row {number}", f"uri {uri!r:.80} {problem}")
            else:
                yield Found(uri, modified_at=at)

    def _document(self, uri: str, row: Sequence[Any]) -> Read:
        size, content, media_type, title, modified_at, metadata, rest = row
        if size is None:
            return SourceError(uri, "has neither text nor content; leave the row out of the query")
        if content is None:
            most = self._source.max_bytes
            return SourceError(
                uri,
                f"has {size} bytes, more than the {most} of `max_bytes`; "
                "raise that in sources.yaml or leave the row out of the query",
            )
        if not isinstance(metadata, dict | None):
            return SourceError(uri, f"metadata {metadata!r:.80} is no JSON object; give one")
        given = {key: value for key, value in rest.items() if value is not None}
        return Record(uri, content, media_type, title, {**given, **(metadata or {})}, modified_at)

    def _columns(self, connection: _Connection) -> "_Columns":
        """The query's columns.

        Raises:
            ConfigError: they make no documents.
        """
        statement = self._statement(_COLUMNS, _Columns([]))
        described = connection.execute(statement).description or []
        types = {column.name: column.type_code for column in described}
        if problem := _problem(types):
            raise ConfigError(
                f"source {self._source.name!r}: postgres: `query` {problem};"
                f" its columns are {', '.join(types)}"
            )
        return _Columns([*types])

    def _statement(
        self, template: LiteralString, columns: "_Columns", *, doubled: bool = False
    ) -> sql.Composed:
        """A statement around the query; percent signs are doubled where values follow."""
        query = self._query.query.replace("%", "%%") if doubled else self._query.query
        return sql.SQL(template).format(
            query=sql.SQL(query),
            most=sql.Literal(self._source.max_bytes),
            **columns.parts(),
        )

    @contextmanager
    def _connected(self) -> Iterator[_Connection]:
        """A transaction that cannot write, with a limit of time for each statement.

        Raises:
            ConfigError: no url, or the query is wrong.
            SourceError: the database cannot be reached, or did not answer to the end.
        """
        try:
            with psycopg.connect(**_options(self._source.name, self._query)) as connection:
                connection.read_only = True
                milliseconds = str(round(self._query.timeout * 1000))
                for name, value in (("statement_timeout", milliseconds), ("timezone", "UTC")):
                    connection.execute("SELECT set_config(%s, %s, true)", (name, value))
                yield connection
        except psycopg.Error as exc:
            raise self._failed(exc) from exc

    def _failed(self, exc: psycopg.Error) -> ConfigError | SourceError:
        remedy = "then" if not isinstance(exc, QueryCanceled) else "raise `timeout`, then"
        said = " ".join(str(exc).split()) or type(exc).__name__
        what = f"{said} ({exc.sqlstate or 'no connection'})"
        if isinstance(exc, psycopg.ProgrammingError):
            return ConfigError(
                f"source {self._source.name!r}: postgres: {what}; correct `query`, or permit it"
            )
        return SourceError(
            self.name,
            f"source {self._source.name!r} could not be read to the end: {what};"
            f" nothing is deleted; {remedy}: ingest run {self._source.name}",
        )


@dataclass(frozen=True, slots=True)
class _Columns:
    """What columns a query has."""

    names: Sequence[str]

    def parts(self) -> dict[str, sql.Composable]:
        """How the statements name each; NULL for what the query has not."""
        content = self._text("text") if "text" in self.names else _column("content")
        rest = [name for name in self.names if name not in _OWN]
        pairs = [part for name in rest for part in (sql.Literal(name), _column(name))]
        return {
            "content": content,
            "size": sql.SQL("octet_length({})").format(content),
            "media_type": self._text("media_type"),
            "title": self._text("title"),
            "modified_at": self._time(),
            "metadata": self._or_null("metadata"),
            "rest": sql.SQL("jsonb_build_object({})").format(sql.SQL(", ").join(pairs)),
        }

    def _text(self, name: str) -> sql.Composable:
        return sql.SQL("{}::text").format(self._or_null(name))

    def _time(self) -> sql.Composable:
        return sql.SQL(_TIME).format(time=self._or_null("modified_at"))

    def _or_null(self, name: str) -> sql.Composable:
        return _column(name) if name in self.names else sql.SQL("NULL")


def _column(name: str) -> sql.Identifier:
    return sql.Identifier("q", name)


def _problem(types: Mapping[str, int]) -> str | None:
    """Why columns, by name with the oids of their types, make no documents; and the remedy."""
    if "uri" not in types:
        return "has no column `uri`; write … AS uri"
    if ("text" in types) == ("content" in types):
        return "has not exactly one of the columns `text` and `content`"
    if types.get("content", _BYTEA) != _BYTEA:
        return "has a `content` that is no bytea; call it `text`"
    return None


def _fetched(
    connection: _Connection,
    statement: sql.Composed,
    rows: int,
    values: Sequence[object] | None = None,
) -> Iterator[TupleRow]:
    """The rows of a statement, through a cursor on the server."""
    with connection.cursor("documents") as cursor:
        cursor.itersize = rows
        cursor.execute(statement, values)
        yield from cursor


def _options(source: str, query: Query) -> dict[str, Any]:
    """How to connect.

    Raises:
        ConfigError: the variable is not set, or has no URL.
    """
    url = query.url or os.environ.get(query.url_env or "", "")
    if not url.strip():
        raise ConfigError(
            f"source {source!r}: the environment variable {query.url_env} is not set;"
            " set it to postgresql://user:password@host:5432/database"
        )
    return {**KEEPALIVE, **parameters(url), "prepare_threshold": None}

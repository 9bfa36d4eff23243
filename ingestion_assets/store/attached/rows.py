"""Keys of an attached table in, the texts of its rows out."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import orjson
import psycopg
from psycopg import sql

from ingestion_assets.chunks.chunk import content_hash
from ingestion_assets.store.attached.attachment import Attachment
from ingestion_assets.store.attached.keys import array_type, key_of, matches, ordered
from ingestion_assets.store.attached.names import identifier
from ingestion_assets.store.attached.reading import Blocks, Columns, Expression, Title
from ingestion_assets.store.connection import Connection

Context: TypeAlias = tuple[str, ...]

_READ = """
SELECT k.row_key, {has_vector}, {values}
FROM unnest(%s::text[]) AS k (row_key) JOIN {relation} t ON {matches}
{lock}
"""
_LOCK = "FOR NO KEY UPDATE OF t SKIP LOCKED"
_HEADINGS = """
SELECT t.{document}::text, {key}, t.{type}::text, {level}, {content}
FROM {relation} t
WHERE t.{document} = ANY (CAST(%s::text[] AS {documents})) AND {is_heading}
ORDER BY t.{document}, t.{position}, {ordered}
"""


@dataclass(frozen=True, slots=True)
class Row:
    """What is to be embedded of a row.

    Attributes:
        text: without the prefix; empty if there is nothing to embed.
        content_hash: 16 bytes that name prefix and text; empty if the text cannot be made.
        has_vector: whether its own column holds one now.
        error: why the text cannot be made: the operator's expression fails for this row.
    """

    key: str
    text: str
    content_hash: bytes
    has_vector: bool
    error: str | None = None


def read(
    connection: Connection, attachment: Attachment, keys: Sequence[str], *, lock: bool
) -> dict[str, Row]:
    """The rows of some keys, by key, in the caller's transaction; those gone are left out.

    Args:
        lock: keep them from being changed in this transaction. Rows that others hold are left out
            then: nobody is waited for, so nobody can be in a deadlock with us.
    """
    if not keys:
        return {}
    try:
        with connection.transaction():
            return _read(connection, attachment, keys, lock=lock)
    except psycopg.DataError as exc:
        if len(keys) == 1:
            error = exc.diag.message_primary
            return {keys[0]: Row(keys[0], "", b"", has_vector=False, error=error)}
    half = len(keys) // 2
    return {
        **read(connection, attachment, keys[:half], lock=lock),
        **read(connection, attachment, keys[half:], lock=lock),
    }


def _read(
    connection: Connection, attachment: Attachment, keys: Sequence[str], *, lock: bool
) -> dict[str, Row]:
    query = sql.SQL(_READ).format(
        has_vector=sql.SQL("t.{} IS NOT NULL").format(attachment.vector)
        if attachment.vector_column
        else sql.SQL("false"),
        values=sql.SQL(", ").join(_values(attachment)),
        relation=attachment.relation,
        matches=matches(attachment.keys, "t", identifier("k", "row_key")),
        lock=sql.SQL(_LOCK if lock else ""),
    )
    found = connection.execute(query, (list(keys),)).fetchall()
    texts = _texts(connection, attachment, [(key, values) for key, _, *values in found])
    return {
        key: Row(key, texts[key], content_hash(attachment.prefix, "", texts[key]), has_vector)
        for key, has_vector, *_ in found
    }


def existing(connection: Connection, attachment: Attachment, keys: Iterable[str]) -> set[str]:
    """Those of the keys that are in the table, locked or not."""
    query = sql.SQL(
        "SELECT k.row_key FROM unnest(%s::text[]) AS k (row_key) JOIN {} t ON {}"
    ).format(attachment.relation, matches(attachment.keys, "t", identifier("k", "row_key")))
    return {key for (key,) in connection.execute(query, (list(keys),))}


def is_heading(blocks: Blocks, row: str) -> sql.Composed:
    """Whether a row is a heading, for composing SQL."""
    # Imported late: the documents' parsers take 10 MB, and not every worker serves blocks.
    from ingestion_assets.documents.structured import HEADING_TYPE  # noqa: PLC0415

    return sql.SQL("lower({}::text) ~ {}").format(
        identifier(row, blocks.type), sql.Literal(HEADING_TYPE)
    )


def _values(attachment: Attachment) -> list[sql.Composable]:
    """What is selected of a row t, for `_texts` to read."""
    match attachment.reading:
        case Columns(names):
            return [part for name in names for part in _content(name)]
        case Expression(expression):
            # In a scope of its own, where the table has its own name and no other is around.
            return [
                sql.SQL("(SELECT ({})::text FROM (SELECT t.*) AS {})").format(
                    sql.SQL(expression.replace("%", "%%")),
                    identifier(attachment.table or ""),
                )
            ]
        case Blocks() as blocks:
            return [
                sql.SQL("{}::text").format(identifier("t", blocks.type)),
                *_content(blocks.content),
                sql.SQL("{}::text").format(identifier("t", blocks.document.column))
                if blocks.document
                else sql.NULL,
                _title(blocks, blocks.title) if blocks.title else sql.NULL,
            ]


def _title(blocks: Blocks, title: Title) -> sql.Composed:
    if title.table is None or title.key is None or blocks.document is None:
        return sql.SQL("{}::text").format(identifier("t", title.column))
    return sql.SQL("(SELECT d.{}::text FROM {} d WHERE d.{} = t.{} LIMIT 1)").format(
        identifier(title.column),
        identifier(title.schema or "", title.table),
        identifier(title.key),
        identifier(blocks.document.column),
    )


def _texts(
    connection: Connection, attachment: Attachment, rows: Sequence[tuple[str, Sequence[Any]]]
) -> dict[str, str]:
    match attachment.reading:
        case Expression():
            return {key: (text or "").strip() for key, (text,) in rows}
        case Columns():
            return {key: _joined(values) for key, values in rows}
        case Blocks() as blocks:
            return _block_texts(connection, attachment, blocks, rows)


def _content(name: str) -> list[sql.Composed]:
    """A column's text, and whether it is JSON: parsed by us, however deep it is nested."""
    column = identifier("t", name)
    return [
        sql.SQL("{}::text").format(column),
        sql.SQL("pg_typeof({}) IN ('json'::regtype, 'jsonb'::regtype)").format(column),
    ]


def _decoded(text: str | None, is_json: bool) -> Any:
    if text is None or not is_json:
        return text
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None


def _joined(values: Sequence[Any]) -> str:
    """Columns and whether they are JSON, in turn, as one text."""
    contents = [_decoded(*pair) for pair in zip(values[::2], values[1::2], strict=True)]
    if all(content is None or isinstance(content, str) for content in contents):
        texts: Iterable[str] = (content.strip() for content in contents if content)
    else:
        from ingestion_assets.documents.structured import plain_text  # noqa: PLC0415

        texts = map(plain_text, contents)
    return "\n\n".join(text for text in texts if text)


def _block_texts(
    connection: Connection,
    attachment: Attachment,
    blocks: Blocks,
    rows: Sequence[tuple[str, Sequence[Any]]],
) -> dict[str, str]:
    from ingestion_assets.documents.structured import block_text, is_heading  # noqa: PLC0415

    named = {row[3] for _, row in rows if row[3] is not None and is_heading(row[0] or "")}
    above = _headings_above(connection, attachment, blocks, named)
    return {
        key: block_text(kind or "", _decoded(content, is_json), [title or "", *above.get(key, ())])
        for key, (kind, content, is_json, _, title) in rows
    }


def _headings_above(
    connection: Connection, attachment: Attachment, blocks: Blocks, documents: Iterable[str]
) -> Mapping[str, Context]:
    """For every heading of some documents, the headings above it, from the outside in."""
    from ingestion_assets.documents.structured import heading_level, plain_text  # noqa: PLC0415

    named = list(documents)
    if not named or blocks.document is None or blocks.position is None:
        return {}
    query = sql.SQL(_HEADINGS).format(
        document=identifier(blocks.document.column),
        key=key_of(attachment.keys, "t"),
        type=identifier(blocks.type),
        content=sql.SQL(", ").join(_content(blocks.content)),
        level=identifier("t", blocks.level) if blocks.level else sql.NULL,
        relation=attachment.relation,
        documents=array_type(blocks.document),
        is_heading=is_heading(blocks, "t"),
        position=identifier(blocks.position),
        ordered=ordered(attachment.keys, "t"),
    )
    above: dict[str, Context] = {}
    paths: defaultdict[str, list[tuple[int, str]]] = defaultdict(list)
    for document, key, kind, level, *value in connection.execute(query, (named,)):
        content = _decoded(*value)
        depth, path = heading_level(kind, content, level), paths[document]
        path[:] = [heading for heading in path if heading[0] < depth]
        above[key] = tuple(text for _, text in path)
        path.append((depth, plain_text(content)))
    return above

"""The key of a row as text, and back again to the row."""

from collections.abc import Sequence

from psycopg import sql

from ingestion_assets.store.attached.names import identifier
from ingestion_assets.store.attached.reading import Key

# A key's text must be the same in every session, and its type's name come from no table.
TYPES = frozenset({"smallint", "integer", "bigint", "numeric", "uuid", "text", "character varying"})


def key_of(keys: Sequence[Key], row: str) -> sql.Composed:
    """The key of a row as one text: its column, or a JSON list of several."""
    texts = [sql.SQL("{}::text").format(identifier(row, key.column)) for key in keys]
    if len(texts) == 1:
        return texts[0]
    return sql.SQL("jsonb_build_array({})::text").format(sql.SQL(", ").join(texts))


def parts_of(keys: Sequence[Key], text: sql.Composable) -> list[sql.Composed]:
    """The values of the key's columns, from its text."""
    whole = [text] if len(keys) == 1 else [
        sql.SQL("({}::jsonb ->> {})").format(text, sql.Literal(i)) for i in range(len(keys))
    ]  # fmt: skip
    return [
        sql.SQL("CAST({} AS {})").format(part, sql.SQL(_checked(key.type)))
        for part, key in zip(whole, keys, strict=True)
    ]


def matches(keys: Sequence[Key], row: str, text: sql.Composable) -> sql.Composed:
    """Whether a row has the key that a text says; an index of the key serves it."""
    return sql.SQL(" AND ").join(
        sql.SQL("{} = {}").format(identifier(row, key.column), part)
        for key, part in zip(keys, parts_of(keys, text), strict=True)
    )


def ordered(keys: Sequence[Key], row: str) -> sql.Composed:
    """The key's columns, for ORDER BY and for comparing whole keys."""
    return sql.SQL(", ").join(identifier(row, key.column) for key in keys)


def array_type(key: Key) -> sql.Composed:
    """The type of an array of one of the key's columns."""
    return sql.SQL("{}[]").format(sql.SQL(_checked(key.type)))


def _checked(name: str) -> str:
    if name not in TYPES:
        raise AssertionError(f"{name!r} is no type of a key")
    return name

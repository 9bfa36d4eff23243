"""The name of somebody else's table in, what is where in it out; known by its columns alone."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from uuid import UUID

from psycopg import sql

from ingestion_assets.errors import ConfigError
from ingestion_assets.store.adoption.catalogs import Vectorizer, collection_id, vectorizer
from ingestion_assets.store.attached.names import identifier
from ingestion_assets.store.attached.relation import Column, Relation, columns, look_up
from ingestion_assets.store.connection import Connection

PGAI = "pgai"
LANGCHAIN = "LangChain PGVector"
LANGCHAIN_STORE = "LangChain PGVectorStore"
LLAMA_INDEX = "LlamaIndex PGVectorStore"

_VECTOR = "embedding"  # with all of them
_KINDS = {
    PGAI: ("embedding_uuid", "chunk_seq", "chunk", _VECTOR),
    LANGCHAIN: ("collection_id", "document", "cmetadata", _VECTOR),
    LANGCHAIN_STORE: ("langchain_id", "content", _VECTOR),
    LLAMA_INDEX: ("id", "node_id", "text", "metadata_", _VECTOR),
}
_NOTHING = sql.SQL("NULL")
_NO_TEXT = sql.SQL("NULL::text")
# A column of `json` may hold a NUL, on which Postgres refuses to take anything out of it.
_WITHOUT_NUL = sql.SQL(
    r"CASE WHEN strpos({0}::text, '\u0000') = 0 THEN {0}"
    r" ELSE regexp_replace({0}::text, '(?<!\\)((?:\\\\)*)\\u0000', '\1', 'g')::json END"
)
# Where a chunk began in its document, if the splitter noted it; else as they came.
_AS_SPLIT = sql.SQL("CASE WHEN {0} ~ '^[0-9]{{1,18}}$' THEN {0}::bigint END, t.ctid")


@dataclass(frozen=True, slots=True)
class Layout:
    """Where in a table `t` is what; expressions are composed SQL over its row.

    Attributes:
        kind: the package that made it.
        collection: of several that share the table.
        id: names the row, as text.
        document: names what the row's text was cut from, as text; NULL if that is not known.
        order: of the rows of a document.
        metadata: JSON, or NULL.
        own: other columns worth keeping, as a JSON object, or NULL.
        is_half: vectors are stored as `halfvec`.
        collection_id: only rows of this collection.
        vectorizer: what pgai's own catalog says of the table.
    """

    kind: str
    table: Relation
    id: sql.Composable
    document: sql.Composable
    text: sql.Composable
    order: sql.Composable
    metadata: sql.Composable
    own: sql.Composable
    is_half: bool = False
    collection: str | None = None
    collection_id: UUID | None = None
    vectorizer: Vectorizer | None = None

    @property
    def title(self) -> str:
        """The table, and the collection in it, for people."""
        return f"{self.table.title} ({self.collection})" if self.collection else self.table.title


def detect(connection: Connection, name: str, collection: str | None = None) -> Layout:
    """Whose table it is, and what is where in it.

    Args:
        name: as in SQL: `notes`, `public.notes`, or `"My Schema"."My Table"`.
        collection: of LangChain's PGVector; needed if the table has several.

    Raises:
        ConfigError: there is no such table or collection, or its columns fit no kind, or several.
    """
    table = look_up(connection, name)
    if table is None:
        raise ConfigError(
            f"there is no table {name!r}; write schema.table, and names with capitals, blanks or"
            """ reserved words in double quotes, as in SQL: '"My Schema"."My Table"'"""
        )
    if table.kind not in ("r", "p"):
        raise ConfigError(f"{table.title} is no table; adopt the table that has the vectors")
    found = columns(connection, table)
    kind = _kind(table, found)
    if collection is not None and kind != LANGCHAIN:
        raise ConfigError(f"--collection: {table.title} is of {kind}, which has no collections")
    layout = _LAYOUTS[kind](connection, table, found)
    if kind == LANGCHAIN:
        layout = _of_collection(connection, layout, collection)
    return replace(layout, is_half=_is_half(table, found[_VECTOR]))


def _kind(table: Relation, found: Mapping[str, Column]) -> str:
    fitting = [kind for kind, names in _KINDS.items() if set(names) <= set(found)]
    if len(fitting) == 1:
        return fitting[0]
    wanted = "; ".join(f"{kind}: {', '.join(names)}" for kind, names in _KINDS.items())
    what = f"fits {' and '.join(fitting)}" if fitting else "is of no kind that can be adopted"
    raise ConfigError(
        f"{table.title} {what}. Its columns are {', '.join(found)}. Looked for were {wanted}."
        " Columns of other names: adopt a copy of the table that has these"
    )


def _is_half(table: Relation, column: Column) -> bool:
    name = column.type.rpartition(".")[2].strip('"')  # with its schema if that is not searched
    if name not in ("vector", "halfvec"):
        raise ConfigError(
            f"column {column.name!r} of {table.title} has the type {column.type}; only vector and"
            " halfvec can be adopted"
        )
    return name == "halfvec"


def _column(name: str) -> sql.Composable:
    return identifier("t", name)


def _text(name: str) -> sql.Composable:
    return sql.SQL("{}::text").format(_column(name))


def _object(names: list[str]) -> sql.Composable:
    if not names:
        return _NOTHING
    pairs = [sql.SQL("{}, {}").format(_literal(name), _column(name)) for name in names]
    return sql.SQL("json_build_object({})").format(sql.SQL(", ").join(pairs))


def _literal(name: str) -> sql.Composable:
    return sql.Literal(name.replace("%", "%%"))


def _value(json: Column, key: str) -> sql.Composable:
    column = _column(json.name)
    readable = _WITHOUT_NUL.format(column) if json.type == "json" else column
    return sql.SQL("(({}) ->> {})").format(readable, sql.Literal(key))


def _first(*texts: sql.Composable) -> sql.Composable:
    """The first of some texts that says something."""
    said = [sql.SQL("nullif(nullif({}, ''), 'None')").format(text) for text in texts]
    return sql.SQL("coalesce({})").format(sql.SQL(", ").join(said))


def _pgai(connection: Connection, table: Relation, found: Mapping[str, Column]) -> Layout:
    key = [name for name in found if name not in _KINDS[PGAI]]
    if not key:
        raise ConfigError(f"{table.title} has no column of the key of the table it was made from")
    parts = [_column(name) for name in key]
    document = (
        _text(key[0])
        if len(key) == 1
        else sql.SQL("json_build_array({})::text").format(sql.SQL(", ").join(parts))
    )
    return Layout(
        PGAI,
        table,
        id=_text("embedding_uuid"),
        document=document,
        text=_column("chunk"),
        order=_column("chunk_seq"),
        metadata=_NOTHING,
        own=_object(key),
        vectorizer=vectorizer(connection, table),
    )


def _langchain(connection: Connection, table: Relation, found: Mapping[str, Column]) -> Layout:
    metadata = found["cmetadata"]
    return Layout(
        LANGCHAIN,
        table,
        id=_text("id" if "id" in found else "uuid"),
        document=_first(_value(metadata, "source"), _value(metadata, "id")),
        text=_column("document"),
        order=_AS_SPLIT.format(_value(metadata, "start_index")),
        metadata=_column(metadata.name),
        own=_NOTHING,
    )


def _langchain_store(
    connection: Connection, table: Relation, found: Mapping[str, Column]
) -> Layout:
    known = {*_KINDS[LANGCHAIN_STORE], "langchain_metadata"}
    own = [n for n, c in found.items() if n not in known and c.type != "tsvector"]
    metadata = found.get("langchain_metadata")

    def value(name: str) -> sql.Composable:
        """What the table says of a name, in a column of it or in the JSON."""
        if name in own:
            return _text(name)
        return _value(metadata, name) if metadata else _NO_TEXT

    return Layout(
        LANGCHAIN_STORE,
        table,
        id=_text("langchain_id"),
        document=_first(value("source"), value("id")),
        text=_column("content"),
        order=_AS_SPLIT.format(value("start_index")),
        metadata=_column(metadata.name) if metadata else _NOTHING,
        own=_object(own),
    )


def _llama_index(connection: Connection, table: Relation, found: Mapping[str, Column]) -> Layout:
    metadata = found["metadata_"]
    return Layout(
        LLAMA_INDEX,
        table,
        id=sql.SQL("coalesce({}, {})").format(_column("node_id"), _text("id")),
        document=_first(*(_value(metadata, k) for k in ("ref_doc_id", "document_id", "doc_id"))),
        text=_column("text"),
        order=_column("id"),
        metadata=_column(metadata.name),
        own=_NOTHING,
    )


def _of_collection(connection: Connection, layout: Layout, name: str | None) -> Layout:
    chosen, key = collection_id(connection, layout.table, name)
    return replace(layout, collection=chosen, collection_id=key)


_LAYOUTS = {
    PGAI: _pgai,
    LANGCHAIN: _langchain,
    LANGCHAIN_STORE: _langchain_store,
    LLAMA_INDEX: _llama_index,
}

"""Indexes for search: over the words of the chunks, and over the vectors of a generation."""

from collections.abc import Iterator
from contextlib import contextmanager

from psycopg import sql

from ingestion_assets.store.connection import Connection
from ingestion_assets.store.generations import Generation

_OPERATORS = {"vector": "vector_cosine_ops", "halfvec": "halfvec_cosine_ops"}
_BYTES_A_NUMBER = 6  # of the graph while it is built, measured: 2.3 kB at 384 dimensions
_MEMORY = (64, 8192)  # MB, least and most
_IS_VALID = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)"


def words(language: str) -> sql.Composed:
    """The expression that a chunk `c` is found by when words are looked for; the index has it."""
    return sql.SQL("to_tsvector({}, c.heading || ' ' || c.text)").format(sql.Literal(language))


def text_index(language: str) -> str:
    """Name of the index over the words."""
    return f"chunks_words_{language}"


def vector_index(generation: Generation) -> str:
    """Name of the approximate index of a generation."""
    return f"{generation.name}_hnsw"


def build_text_index(connection: Connection, language: str) -> bool:
    """Build the index over the words if it is missing, and count how common the words are.

    Reading and writing go on meanwhile. It belongs after a bulk load: it costs a tenth of a
    millisecond for every chunk that is written.

    Args:
        language: a text search configuration of Postgres, like `english` or `simple`.

    Returns:
        Whether it was built now; false too where somebody else is building it.

    Raises:
        StoreError: Postgres does not know the language.
    """
    definition = sql.SQL("ON ingestion.chunks USING gin (({}))").format(_of_table(language))
    built = _build(connection, text_index(language), definition)
    if built:
        connection.execute("ANALYZE ingestion.chunks")
    return built


def build_vector_index(connection: Connection, generation: Generation) -> bool:
    """Build the approximate index of a generation if it is missing; its memory fits its size.

    Returns:
        Whether it was built now; false too where somebody else is building it.
    """
    definition = sql.SQL("ON {} USING hnsw (embedding {})").format(
        generation.table, sql.Identifier(_OPERATORS[generation.storage])
    )
    with _memory(connection, generation):
        return _build(connection, vector_index(generation), definition)


def _of_table(language: str) -> sql.Composed:
    return sql.SQL("to_tsvector({}, heading || ' ' || text)").format(sql.Literal(language))


def _build(connection: Connection, name: str, definition: sql.Composed) -> bool:
    lock = (f"ingestion:{name}",)
    row = connection.execute(
        "SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", lock
    ).fetchone()
    if row is None or not row[0]:
        return False
    try:
        if _is_valid(connection, name):
            return False
        index = sql.Identifier("ingestion", name)
        # What a build that was interrupted leaves is maintained, but never used.
        connection.execute(sql.SQL("DROP INDEX CONCURRENTLY IF EXISTS {}").format(index))
        connection.execute(
            sql.SQL("CREATE INDEX CONCURRENTLY {} ").format(sql.Identifier(name)) + definition
        )
    finally:
        if not connection.closed:
            connection.execute("SELECT pg_advisory_unlock(hashtextextended(%s, 0))", lock)
    return True


def _is_valid(connection: Connection, name: str) -> bool:
    row = connection.execute(_IS_VALID, (f'ingestion."{name}"',)).fetchone()
    return bool(row and row[0])


@contextmanager
def _memory(connection: Connection, generation: Generation) -> Iterator[None]:
    """Memory for the whole graph; where it spills, the build takes four times as long."""
    row = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(generation.table)).fetchone()
    needed = (row[0] if row else 0) * generation.dimensions * _BYTES_A_NUMBER >> 20
    megabytes = min(max(needed, _MEMORY[0]), _MEMORY[1])
    connection.execute("SELECT set_config('maintenance_work_mem', %s, false)", (f"{megabytes}MB",))
    try:
        yield
    finally:
        if not connection.closed:
            connection.execute("RESET maintenance_work_mem")

"""The approximate index of a generation: built after a load, as fast as the server may."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter

import psycopg
from psycopg import sql

from ingestion_assets.errors import IndexUnusedError
from ingestion_assets.settings import cores
from ingestion_assets.store.connection import Connection
from ingestion_assets.store.generations.generation import Generation
from ingestion_assets.store.index import building
from ingestion_assets.store.index.state import (
    INDEX_FROM,
    OPERATORS,
    beside,
    index_state,
    vector_index,
)

_BYTES_A_NUMBER = 6  # of the graph while it is built, measured: 2.3 kB at 384 dimensions
_SERVER = """
SELECT pg_size_bytes(current_setting('maintenance_work_mem')) >> 20,
       pg_size_bytes(current_setting('effective_cache_size')) >> 20,
       current_setting('max_parallel_workers')::int,
       current_setting('max_parallel_maintenance_workers')::int
"""
_SET = """
SELECT set_config('maintenance_work_mem', %s, false),
       set_config('max_parallel_maintenance_workers', %s, false)
"""


@dataclass(frozen=True, slots=True)
class Effort:
    """What Postgres may use for a build.

    Attributes:
        memory: for the graph, in MB.
        workers: processes beside the one that leads, at most.
    """

    memory: int
    workers: int


@dataclass(frozen=True, slots=True)
class Built:
    """A build that is done.

    Attributes:
        rows: of the table before it.
        bytes: of the index.
    """

    rows: int
    seconds: float
    bytes: int
    effort: Effort


def build_vector_index(
    connection: Connection, generation: Generation, *, afresh: bool = False
) -> Built | None:
    """Build the approximate index of a generation if there is none that searches can use.

    Reading and writing go on meanwhile, and searches compare with every vector until it is there.

    Args:
        afresh: though there is one: it is used until the other one takes its place.

    Returns:
        What was built now; none where somebody else is at it.
    """
    name = vector_index(generation)
    with building.sole(connection, name) as mine:
        if not mine:
            return None
        for left_over in beside(generation):
            building.drop(connection, left_over)
        usable = index_state(connection, generation).state == "valid"
        if usable and not afresh:
            return None
        rows, started = _count(connection, generation), perf_counter()
        if not usable:
            building.drop(connection, name)
            _vacuum(connection, generation)
        effort = _build(connection, generation, beside(generation)[0] if usable else name, rows)
        if usable:
            _change_over(connection, generation)
            _vacuum(connection, generation)
        return Built(rows, perf_counter() - started, _size(connection, name), effort)


def check_used(connection: Connection, generation: Generation) -> None:
    """See that Postgres finds what is nearest through the index, by its plan.

    It may rather read all of a small table: there the plan is asked for without that choice.

    Raises:
        IndexUnusedError: it reads the table all the same.
    """
    name = vector_index(generation)
    question = f"[{','.join('1' * generation.dimensions)}]"
    query = sql.SQL(
        "EXPLAIN SELECT chunk_id FROM {} ORDER BY embedding <=> {}::{} LIMIT 10"
    ).format(generation.table, sql.Literal(question), sql.Identifier(generation.storage))
    with connection.transaction():
        if _count(connection, generation) <= INDEX_FROM:
            connection.execute("SET LOCAL enable_seqscan = off")
        plan = [line for (line,) in connection.execute(query)]
    if not any(f"Index Scan using {name} " in line for line in plan):
        raise IndexUnusedError(
            f"the index {name} is valid, but Postgres would not search it: {plan[-1].strip()!r};"
            " see that enable_indexscan is on and random_page_cost is that of your disks"
        )


def _build(connection: Connection, generation: Generation, name: str, rows: int) -> Effort:
    definition = sql.SQL("ON {} USING hnsw (embedding {})").format(
        generation.table, sql.Identifier(OPERATORS[generation.storage])
    )
    effort = _effort(connection, generation, rows)
    with _exerting(connection, effort):
        try:
            building.create(connection, name, definition)
        except (psycopg.errors.DiskFull, psycopg.errors.OutOfMemory):
            if not effort.workers:
                raise
        else:
            return effort
    # Workers share the graph in /dev/shm, which is 64 MB in many a container; one alone does not.
    effort = Effort(effort.memory, 0)
    with _exerting(connection, effort):
        building.create(connection, name, definition)
    return effort


def _effort(connection: Connection, generation: Generation, rows: int) -> Effort:
    """Memory for the whole graph: where it spills, the build takes four times as long.

    At most half of what the server says it has for caching. A core of this machine is left to
    others; of another machine only the server knows how many processes are right.
    """
    found = connection.execute(_SERVER).fetchone()
    own, cache, parallel, maintenance = found or (64, 0, 0, 0)
    needed = rows * generation.dimensions * _BYTES_A_NUMBER >> 20
    host = connection.info.host
    is_near = host.startswith("/") or host in ("localhost", "127.0.0.1", "::1")
    workers = min(parallel, cores() - 1) if is_near else maintenance
    return Effort(max(own, min(needed, cache // 2)), workers)


@contextmanager
def _exerting(connection: Connection, effort: Effort) -> Iterator[None]:
    connection.execute(_SET, (f"{effort.memory}MB", str(effort.workers)))
    try:
        yield
    finally:
        if not connection.closed:
            connection.execute("RESET maintenance_work_mem")
            connection.execute("RESET max_parallel_maintenance_workers")


def _change_over(connection: Connection, generation: Generation) -> None:
    """Have the new index follow the old one; searches use the one or the other."""
    name = vector_index(generation)
    following, followed = beside(generation)
    rename = sql.SQL("ALTER INDEX {} RENAME TO {}")
    with connection.transaction():
        for old, new in ((name, followed), (following, name)):
            connection.execute(rename.format(sql.Identifier("ingestion", old), sql.Identifier(new)))
    building.drop(connection, followed)


def _vacuum(connection: Connection, generation: Generation) -> None:
    """Drop dead rows while no graph has them: taking them out costs more than to build one."""
    connection.execute(sql.SQL("VACUUM (ANALYZE) {}").format(generation.table))


def _count(connection: Connection, generation: Generation) -> int:
    row = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(generation.table)).fetchone()
    return row[0] if row else 0


def _size(connection: Connection, name: str) -> int:
    query = "SELECT pg_relation_size(to_regclass(%s))"
    row = connection.execute(query, (f'ingestion."{name}"',)).fetchone()
    return row[0] if row and row[0] else 0

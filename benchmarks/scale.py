"""What a million documents cost Dagster, `ingest status` and the UI, when nothing has changed.

python benchmarks/scale.py --documents 1000000 --sources 8 --buckets 128

The files have no text and the chunks hold none, but all rows, keys, hashes, vectors, partitions and
materializations are there. The UI is measured in headless Chromium, if there is one.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, LiteralString

import dagster as dg
import httpx
from psycopg import sql

from ingestion_assets.defs import assets, build
from ingestion_assets.defs.launch import prepare_home, prepare_instance
from ingestion_assets.defs.sensors import documents_changed
from ingestion_assets.local.postgres import embedded_postgres
from ingestion_assets.settings import Settings
from ingestion_assets.sources import Source, document_id, load
from ingestion_assets.store import audit, sources
from ingestion_assets.store.connection import Connection, connect
from ingestion_assets.store.generations import Generation, Recipe, active, open_generation
from ingestion_assets.store.schema import migrate
from ingestion_assets_tests.api import chromium
from ingestion_assets_tests.end_to_end.project import Project, free_port

_OF_A_FOLDER = 1000
_WRITTEN = datetime(2026, 1, 1, tzinfo=UTC)  # before it was ingested, so that no file is read
_DOCUMENTS = """
COPY ingestion.documents (document_id, source, partition_key, uri, media_type, title, text,
    content_hash, metadata, bytes, modified_at, ingested_at) FROM STDIN
"""
_CHUNKS = """
INSERT INTO ingestion.chunks
SELECT (left(document_id::text, 18) || right(md5(uri || n)::uuid::text, 18))::uuid, document_id,
       partition_key, n, '', '', decode(md5(uri || n), 'hex'), 200, 0, 0, 'bench'
FROM ingestion.documents, generate_series(0, %s - 1) n
"""
_VECTORS = """
INSERT INTO {table}
SELECT chunk_id, content_hash, %s::vector FROM ingestion.chunks TABLESAMPLE BERNOULLI (99)
"""
_LOSSES: dict[str, LiteralString] = {
    "vectors": "DELETE FROM {table} WHERE chunk_id IN (SELECT chunk_id FROM {table} LIMIT 3)",
    "ledger": "DELETE FROM ingestion.ledger WHERE chunk_id IN"
    " (SELECT chunk_id FROM ingestion.ledger LIMIT 3)",
    "chunks": "DELETE FROM ingestion.chunks WHERE chunk_id IN"
    " (SELECT chunk_id FROM {table} LIMIT 3)",
}
_PAGES = {
    "the asset graph": "/asset-groups",
    "the group": "/locations/__repository__@ingestion_assets/asset-groups/ingestion",
    "an asset's overview": "/assets/embeddings",
    "its partitions": "/assets/embeddings?view=partitions",
    "one partition": "/assets/embeddings?view=partitions&partition={key}",
    "its events": "/assets/embeddings?view=events",
    "its checks": "/assets/embeddings?view=checks",
    "the runs": "/runs",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=1_000_000)
    parser.add_argument("--sources", type=int, default=8)
    parser.add_argument("--buckets", type=int, default=128, help="of a source; a power of two")
    parser.add_argument("--chunks", type=int, default=1, help="of a document")
    parser.add_argument("--dimensions", type=int, default=384)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as state, embedded_postgres(Path(state)) as server:
        project = Path(state) / "project"
        os.environ |= {"INGESTION_DATABASE_URL": server.address, "OLLAMA_HOST": "127.0.0.1:9"}
        with _timed("filled"):
            listed = _project(project, given.sources, given.buckets)
            migrate(server.address)
            with connect(server.address) as connection:
                _fill(connection, listed, given)
        _measure(server.address, listed)


def _project(folder: Path, sources: int, buckets: int) -> list[Source]:
    folder.mkdir()
    names = [f"source{n:02}" for n in range(sources)]
    entries = [f"  - {{name: {n}, root: documents/{n}, buckets: {buckets}}}\n" for n in names]
    Project(folder, "sources:\n" + "".join(entries), {})
    os.chdir(folder)
    os.environ["DAGSTER_HOME"] = str(prepare_home(folder))
    return load(Path("sources.yaml"))


def _fill(connection: Connection, listed: Sequence[Source], given: argparse.Namespace) -> None:
    connection.execute("ALTER SYSTEM SET fsync = off")
    connection.execute("SELECT pg_reload_conf()")
    generation = open_generation(connection, Recipe("bench", "", given.dimensions, "", "", {}))
    connection.execute("SET session_replication_role = replica")  # no triggers, no references
    for source in listed:
        sources.register(connection, source.name, "files", source.buckets, {})
        with connection.cursor() as cursor, cursor.copy(_DOCUMENTS) as copy:
            for row in _written(source, given.documents // len(listed)):
                copy.write_row(row)
    connection.execute(_CHUNKS, (given.chunks,))
    vector = str([given.dimensions**-0.5] * given.dimensions)
    connection.execute(_of(generation, _VECTORS), (vector,))
    connection.execute("SELECT ingestion.enqueue_missing(%s, NULL)", (generation.generation_id,))
    connection.execute("VACUUM ANALYZE")
    keys = [key for source in listed for key in source.partition_keys()]
    prepare_instance(keys)
    _materialized(keys)


def _written(source: Source, documents: int) -> Iterator[Sequence[Any]]:
    """Empty files in folders of a thousand, and their rows."""
    content_hash = source.content_hash(b"")
    stamp, now = _WRITTEN.timestamp(), datetime.now(UTC)
    for n in range(documents):
        uri = f"{n // _OF_A_FOLDER:04}/{n:07}.md"
        path = source.root / uri
        if n % _OF_A_FOLDER == 0:
            path.parent.mkdir(parents=True)
        path.touch()
        os.utime(path, (stamp, stamp))
        key, name = source.partition_key(uri), document_id(source.name, uri)
        yield (
            name, source.name, key, uri, "text/markdown", uri, "", content_hash, "{}", 0, _WRITTEN,
            now,
        )  # fmt: skip


def _materialized(keys: Sequence[str]) -> None:
    with dg.DagsterInstance.get() as instance:
        for asset in ("sources", "chunks", "embeddings"):
            for n, key in enumerate(keys):
                numbers = {"dagster/row_count": 1000 + n, "chunks_per_s": float(n), "failed": 0}
                event = dg.AssetMaterialization(asset, partition=key, metadata=numbers)
                instance.report_runless_asset_event(event)


def _measure(database: str, listed: Sequence[Source]) -> None:
    keys = [key for source in listed for key in source.partition_keys()]
    print(f"{len(keys):,} partitions, load {os.getloadavg()[0]:.1f}")
    _sensor()
    for arguments in (["status"], ["status", listed[0].name], ["status", "--failed"]):
        with _timed(f"ingest {' '.join(arguments)}"):
            command = [sys.executable, "-m", "ingestion_assets", *arguments]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    _reconcile(keys[0])
    with connect(database) as connection:
        _checks(connection)
    with _webserver() as url:
        _pages(url, keys[0])


def _sensor() -> None:
    resources = dict(build.definitions(Settings.from_environment()).resources or {})
    cursor = None
    with dg.DagsterInstance.get() as instance:
        for n in range(8):
            with (
                dg.build_sensor_context(
                    instance,
                    cursor=cursor,
                    resources={k: resources[k] for k in ("catalog", "store")},
                ) as context,
                _timed(f"tick {n + 1} of the document sensor"),
            ):
                result = documents_changed(context)
            assert isinstance(result, dg.SensorResult)
            assert not result.run_requests
            cursor = result.cursor


def _reconcile(key: str) -> None:
    project = build.definitions(Settings.from_environment())
    with (
        dg.DagsterInstance.get() as instance,
        _timed("no-change run of the sources of a partition"),
    ):
        result = dg.materialize(
            [assets.sources], partition_key=key,
            instance=instance, resources=project.resources,
        )  # fmt: skip
    [event] = result.asset_materializations_for_node("sources")
    print(f"  {event.metadata['unchanged'].value:,} documents unchanged")


def _checks(connection: Connection) -> None:
    generation = active(connection)
    assert generation
    with _timed("totals of the tables"):
        print(f"  {asdict(audit.totals(connection, generation))}")
    connection.execute("SET session_replication_role = replica")
    for lost in ("vectors", "ledger", "chunks"):
        connection.execute(_of(generation, _LOSSES[lost]))
        with _timed(f"check that fails for 3 lost of the {lost}"):
            assert not audit.totals(connection, generation).agree
            assert audit.disagreements(connection, generation, 50)


@contextmanager
def _webserver() -> Iterator[str]:
    port = free_port()
    command = ["dagster_webserver", "-w", "workspace.yaml", "-p", str(port)]
    with subprocess.Popen(
        [sys.executable, "-m", *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            url = f"http://127.0.0.1:{port}"
            while True:
                try:
                    httpx.get(f"{url}/server_info", trust_env=False).raise_for_status()
                    break
                except httpx.HTTPError:
                    assert process.poll() is None
                    time.sleep(0.2)
            yield url
        finally:
            process.terminate()


def _pages(url: str, key: str) -> None:
    if chromium.PROGRAM is None:
        print("no Chromium, so the UI's pages are not measured")
        return
    with chromium.tab() as tab:
        for name, path in _PAGES.items():
            tab.open(url + path.format(key=key))
            settled, slowest = _settled(tab)
            print(f"{name:45}{settled:7.2f} s, slowest query {slowest:.2f} s")


_QUERIES = """performance.getEntriesByType('resource').filter(e => e.name.includes('/graphql'))
    .map(e => [e.responseEnd, e.duration])"""


def _settled(tab: chromium.Tab) -> tuple[float, float]:
    """Seconds to the end of the last query before three without one, and those of the slowest."""
    seen: list[list[float]] = []
    since = time.monotonic()
    while time.monotonic() < since + 3:
        found = tab.value(_QUERIES)
        if len(found) != len(seen):
            seen, since = found, time.monotonic()
        time.sleep(0.1)
    return max(end for end, _ in seen) / 1000, max(took for _, took in seen) / 1000


@contextmanager
def _timed(what: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    print(f"{what:45}{time.perf_counter() - started:7.2f} s", flush=True)


def _of(generation: Generation, query: LiteralString) -> sql.Composed:
    return sql.SQL(query).format(table=generation.table)


if __name__ == "__main__":
    main()

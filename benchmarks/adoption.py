"""Tables that other packages made themselves, adopted: what was copied, how well, how fast.

They are installed in an environment of their own, whose Python is named:

python -m venv peers
peers/bin/pip install langchain-postgres==0.0.19 llama-index-vector-stores-postgres==0.9.0 \
    pgai==0.12.1 "ollama<0.6" "openai<2" tiktoken tokenizers ijson smart-open==7.1.0 \
    "langchain-text-splitters<1.2"
python benchmarks/adoption.py --python peers/bin/python --texts 2000
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from psycopg import sql

from ingestion_assets.local.postgres import embedded_postgres
from ingestion_assets.local.services import builtin_embedder
from ingestion_assets.store.connection import connect

_MODEL = "all-minilm"
_PEERS = Path(__file__).with_name("adoption_peers.py")
_TABLES = {
    "articles_embedding_store": (),
    "langchain_pg_embedding": ("--collection", "notes"),
    "langchain_v2": (),
    "data_llama": (),
}
_EXACT = """
SELECT count(DISTINCT chunk_id)
FROM ingestion.chunks c JOIN ingestion.embeddings e USING (chunk_id, content_hash)
JOIN {} t ON t.embedding = e.embedding
WHERE c.partition_key = %s
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", default=sys.executable, help="of the packages' environment")
    parser.add_argument("--texts", type=int, default=2_000, help="in each table")
    arguments = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as state,
        embedded_postgres(Path(state)) as database,
        builtin_embedder(Path(state)) as ollama,
    ):
        with connect(database.address) as connection:
            connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
        made = [arguments.python, str(_PEERS), database.address, ollama.address, _MODEL]
        subprocess.run([*made, str(arguments.texts)], check=True, stdout=subprocess.DEVNULL)
        environment = {
            **os.environ,
            "INGESTION_DATABASE_URL": database.address,
            "OLLAMA_HOST": ollama.address,
        }
        print(f"{'table':25} {'kind':25} rows copied  exact again lowest   s")
        for table, options in _TABLES.items():
            done, seconds = _adopt(environment, table, *options)
            again, _ = _adopt(environment, table, *options)
            exact = _exact(database.address, table, done["source"])
            print(
                f"{table:25} {done['kind']:25} {done['adopted']['rows']:4,}"
                f" {done['adopted']['copied']:6,} {exact:6,} {again['adopted']['copied']:5,}"
                f" {done['sample']['lowest']:.4f} {seconds:.1f}"
            )


def _adopt(environment: dict[str, str], *arguments: str) -> tuple[dict[str, Any], float]:
    started = time.perf_counter()
    ended = subprocess.run(
        [sys.executable, "-m", "ingestion_assets", "adopt", *arguments, "--json"],
        env=environment,
        check=True,
        stdout=subprocess.PIPE,
    )
    done: dict[str, Any] = json.loads(ended.stdout)
    return done, time.perf_counter() - started


def _exact(database: str, table: str, source: str) -> int:
    """Chunks whose stored vector is, to the bit, one of the table's."""
    with connect(database) as connection:
        query = sql.SQL(_EXACT).format(sql.Identifier(table))
        row = connection.execute(query, (f"{source}/00",)).fetchone()
    return row[0] if row else 0


if __name__ == "__main__":
    main()

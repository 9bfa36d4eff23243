"""Tables of other packages, as these made them: DDL and rows written down from the real ones.

langchain-postgres 0.0.19, llama-index-vector-stores-postgres 0.9.0 (llama-index-core 0.14.25) and
pgai 0.12.1 on Postgres 18; `benchmarks/adoption.py` makes such tables with the packages themselves.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from psycopg import sql
from psycopg.types.json import Json, Jsonb

from ingestion_assets.store.adoption import Adopted, Target, adopt, detect, rows
from ingestion_assets.store.audit import snapshot
from ingestion_assets.store.connection import Connection, connect
from ingestion_assets.store.generations import Generation, Recipe, open_generation

RECIPE = Recipe("all-minilm", "d" * 64, 4, "", "", {})
PGAI = """
CREATE TABLE articles_embedding_store (
    embedding_uuid uuid NOT NULL PRIMARY KEY DEFAULT gen_random_uuid(),
    id bigint NOT NULL,
    chunk_seq integer NOT NULL,
    chunk text NOT NULL,
    embedding vector({}) NOT NULL,
    UNIQUE (id, chunk_seq)
);
CREATE SCHEMA ai;
CREATE TABLE ai.vectorizer (
    id integer PRIMARY KEY, source_schema name, source_table name, source_pk jsonb, config jsonb
);
"""
LANGCHAIN = """
CREATE TABLE langchain_pg_collection (
    uuid uuid PRIMARY KEY, name varchar NOT NULL UNIQUE, cmetadata json
);
CREATE TABLE langchain_pg_embedding (
    id varchar PRIMARY KEY,
    collection_id uuid REFERENCES langchain_pg_collection ON DELETE CASCADE,
    embedding vector,
    document varchar,
    cmetadata jsonb
);
CREATE INDEX ix_cmetadata_gin ON langchain_pg_embedding USING gin (cmetadata jsonb_path_ops);
INSERT INTO langchain_pg_collection VALUES
    ('00000000-0000-4000-8000-000000000001', 'notes', NULL)
"""
LANGCHAIN_STORE = """
CREATE TABLE langchain_v2 (
    langchain_id uuid PRIMARY KEY,
    content text NOT NULL,
    embedding vector({}) NOT NULL,
    langchain_metadata json
)
"""
LLAMA_INDEX = """
CREATE TABLE data_llama (
    id bigserial PRIMARY KEY,
    text varchar NOT NULL,
    metadata_ jsonb,
    node_id varchar,
    embedding vector({})
);
CREATE INDEX llama_idx_1 ON data_llama ((metadata_ ->> 'ref_doc_id'))
"""
VECTORIZER = {
    "embedding": {"model": "all-minilm", "implementation": "ollama", "dimensions": 4},
    "formatting": {"template": "$chunk", "implementation": "python_template"},
    "destination": {"target_schema": "public", "target_table": "articles_embedding_store"},
}
TABLES = {
    "pgai": "articles_embedding_store",
    "LangChain PGVector": "langchain_pg_embedding",
    "LangChain PGVectorStore": "langchain_v2",
    "LlamaIndex PGVectorStore": "data_llama",
}


@dataclass(frozen=True)
class Piece:
    """A text, where it is from, and its vector."""

    number: int
    text: str
    vector: NDArray[np.float32] | None
    document: int = 0

    @property
    def id(self) -> str:
        return f"00000000-0000-4000-8000-{self.number:012}"

    @property
    def wire(self) -> str | None:
        return None if self.vector is None else str(self.vector.tolist())


def unit(number: int, dimensions: int = 4) -> NDArray[np.float32]:
    vector = np.random.default_rng(number).standard_normal(dimensions)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def pieces(n: int, each: int = 2) -> list[Piece]:
    """Pieces of documents of some pieces each."""
    return [Piece(i, f"Piece {i} of the whole.", unit(i), i // each) for i in range(n)]


def make(connection: Connection, kind: str, dimensions: int = 4) -> None:
    """The empty table of a kind."""
    ddl = {
        "pgai": PGAI,
        "LangChain PGVector": LANGCHAIN,
        "LangChain PGVectorStore": LANGCHAIN_STORE,
        "LlamaIndex PGVectorStore": LLAMA_INDEX,
    }[kind]
    connection.execute(sql.SQL(ddl).format(sql.Literal(dimensions)))
    if kind == "pgai":
        connection.execute(
            "INSERT INTO ai.vectorizer VALUES (1, 'public', 'articles', '[]', %s)",
            (Jsonb(VECTORIZER),),
        )


def fill(connection: Connection, kind: str, given: Sequence[Piece]) -> None:
    """Rows as the package writes them."""
    for piece in given:
        match kind:
            case "pgai":
                connection.execute(
                    "INSERT INTO articles_embedding_store VALUES (%s, %s, %s, %s, %s)",
                    (piece.id, piece.document, piece.number, piece.text, piece.wire),
                )
            case "LangChain PGVector":
                connection.execute(
                    "INSERT INTO langchain_pg_embedding VALUES"
                    " (%s, '00000000-0000-4000-8000-000000000001', %s, %s, %s)",
                    (piece.id, piece.wire, piece.text, Jsonb(_said(piece))),
                )
            case "LangChain PGVectorStore":
                connection.execute(
                    "INSERT INTO langchain_v2 VALUES (%s, %s, %s, %s)",
                    (piece.id, piece.text, piece.wire, Json(_said(piece))),
                )
            case _:
                connection.execute(
                    "INSERT INTO data_llama (text, metadata_, node_id, embedding)"
                    " VALUES (%s, %s, %s, %s)",
                    (piece.text, Jsonb(_node(piece)), piece.id, piece.wire),
                )


def taken_over(
    url: str, kind: str, source: str = "theirs", prefix: str | None = None
) -> tuple[Adopted, Generation]:
    """Adopt the table of a kind, as the command does."""
    with connect(url) as ours, connect(url) as theirs:
        generation = open_generation(ours, RECIPE)
        target = Target(source, prefix, kind, TABLES[kind])
        with snapshot(theirs):
            found = rows(theirs, detect(theirs, TABLES[kind]))
            return adopt(ours, generation, target, found), generation


def _said(piece: Piece) -> dict[str, object]:
    return {"source": str(piece.document), "part": piece.number}


def _node(piece: Piece) -> dict[str, object]:
    said = {"lang": "en", "part": piece.number}
    content = {
        "id_": piece.id,
        "metadata": said,
        "excluded_embed_metadata_keys": ["part"],
        "metadata_template": "{key}: {value}",
        "metadata_separator": "\n",
        "text": "",
        "text_template": "{metadata_str}\n\n{content}",
        "class_name": "TextNode",
    }
    whose = str(piece.document)
    return {
        **said,
        "_node_content": json.dumps(content),
        "_node_type": "TextNode",
        "document_id": whose,
        "doc_id": whose,
        "ref_doc_id": whose,
    }

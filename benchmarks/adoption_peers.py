"""Tables of embeddings as other packages make them, by these packages themselves.

Runs in an environment of its own, with langchain-postgres 0.0.19, pgai 0.12.1 (and what its worker
needs for Ollama), and llama-index-vector-stores-postgres 0.9.0; see adoption.py.

    python benchmarks/adoption_peers.py DATABASE_URL OLLAMA_HOST MODEL TEXTS
"""

import asyncio
import json
import sys
import urllib.request
from typing import Any

import pgai
import psycopg
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_postgres import PGEngine, PGVector, PGVectorStore
from llama_index.core.schema import MetadataMode, NodeRelationship, RelatedNodeInfo, TextNode
from llama_index.vector_stores.postgres import PGVectorStore as LlamaStore
from pgai.vectorizer.worker import Worker
from sqlalchemy import make_url

_CHUNKS = 4  # of a document
_VECTORIZER = """
SELECT ai.create_vectorizer(
    'articles'::regclass,
    loading => ai.loading_column('body'),
    embedding => ai.embedding_ollama({model}, {dimensions}, base_url => {host}),
    chunking => ai.chunking_character_text_splitter(200, 40),
    destination => ai.destination_table('articles_embedding'))
"""


class Plain(Embeddings):
    """Texts to a server of Ollama's API, with nothing before them."""

    def __init__(self, host: str, model: str) -> None:
        self.host, self.model = host, model

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        found: list[list[float]] = []
        for start in range(0, len(texts), 64):
            found += self._ask(texts[start : start + 64])
        return found

    def embed_query(self, text: str) -> list[float]:
        return self._ask([text])[0]

    def _ask(self, texts: list[str]) -> list[list[float]]:
        body = json.dumps({"model": self.model, "input": texts}).encode()
        request = urllib.request.Request(f"{self.host}/api/embed", body)
        with urllib.request.urlopen(request) as answer:
            vectors: list[list[float]] = json.load(answer)["embeddings"]
        return vectors


def passages(n: int) -> list[tuple[str, int, str]]:
    """Path, position and text of each of n passages."""
    return [
        (
            f"notes/{i // _CHUNKS:05}.md",
            i % _CHUNKS,
            f"Passage {i} is about the {('tide', 'harvest', 'bridge', 'orchard')[i % 4]} of the"
            f" year {1200 + i % 800}, and how {i} people remembered it.",
        )
        for i in range(n)
    ]


def langchain_v1(url: str, model: Plain, n: int) -> None:
    """Two collections in `langchain_pg_embedding`."""
    for name, part in (("notes", passages(n)), ("other", passages(8))):
        store = PGVector(
            embeddings=model,
            collection_name=name,
            connection=url.replace("postgresql://", "postgresql+psycopg://"),
            use_jsonb=True,
        )
        store.add_documents(_documents(part))


def langchain_v2(url: str, model: Plain, n: int, dimensions: int) -> None:
    """A table of its own with a column of metadata."""
    engine = PGEngine.from_connection_string(url.replace("postgresql://", "postgresql+psycopg://"))
    engine.init_vectorstore_table("langchain_v2", dimensions)
    store = PGVectorStore.create_sync(engine, model, "langchain_v2")
    store.add_documents(_documents(passages(n)))


def llama_index(url: str, model: Plain, n: int, dimensions: int) -> None:
    """`data_llama`, of nodes whose metadata is embedded before their text, as is the default."""
    parsed = make_url(url)
    plain = parsed.set(drivername="postgresql+psycopg2")
    store = LlamaStore.from_params(
        connection_string=plain,
        async_connection_string=parsed.set(drivername="postgresql+psycopg"),
        table_name="llama",
        embed_dim=dimensions,
        use_jsonb=True,
    )
    nodes = [_node(*passage) for passage in passages(n)]
    texts = [node.get_content(metadata_mode=MetadataMode.EMBED) for node in nodes]
    for node, vector in zip(nodes, model.embed_documents(texts), strict=True):
        node.embedding = vector
    store.add(nodes)


def pgai_vectorizer(url: str, model: Plain, n: int, dimensions: int) -> None:
    """`articles_embedding_store`, filled by pgai's own worker."""
    pgai.install(url)
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE articles (id bigint PRIMARY KEY, title text, body text)")
        bodies: dict[str, list[str]] = {}
        for path, _, text in passages(n):
            bodies.setdefault(path, []).append(text)
        cursor.executemany(
            "INSERT INTO articles VALUES (%s, %s, %s)",
            [(i, path, "\n\n".join(texts)) for i, (path, texts) in enumerate(bodies.items())],
        )
        cursor.execute(
            psycopg.sql.SQL(_VECTORIZER).format(
                model=model.model, dimensions=dimensions, host=model.host
            )
        )
    failure = asyncio.run(Worker(url, once=True).run())
    if failure is not None:
        raise failure


def _documents(part: list[tuple[str, int, str]]) -> list[Document]:
    return [
        Document(page_content=text, metadata={"source": path, "part": position})
        for path, position, text in part
    ]


def _node(path: str, position: int, text: str) -> TextNode:
    node = TextNode(
        text=text,
        metadata={"file_path": path, "part": position, "file_size": 1},
        excluded_embed_metadata_keys=["file_size"],
    )
    node.relationships[NodeRelationship.SOURCE] = RelatedNodeInfo(node_id=path)
    return node


def main(url: str, host: str, name: str, n: str) -> None:
    model: Any = Plain(host, name)
    dimensions = len(model.embed_query("width"))
    langchain_v1(url, model, int(n))
    langchain_v2(url, model, int(n), dimensions)
    llama_index(url, model, int(n), dimensions)
    pgai_vectorizer(url, model, int(n), dimensions)


if __name__ == "__main__":
    main(*sys.argv[1:])

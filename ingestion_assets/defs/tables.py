"""Descriptions of the tables' columns, for the UI."""

import dagster as dg


def _schema(**columns: tuple[str, str]) -> dg.TableSchema:
    return dg.TableSchema(
        columns=[
            dg.TableColumn(name, type=kind, description=description)
            for name, (kind, description) in columns.items()
        ]
    )


DOCUMENTS = _schema(
    document_id=("uuid", "Stable: made from the source and the uri."),
    source=("text", "Name of the source in sources.yaml."),
    partition_key=("text", "Source and hash bucket, as in `handbook/03`."),
    uri=("text", "Path below the source's root."),
    media_type=("text", "What the raw document is."),
    title=("text", "First heading, <title>, front matter, or the file's name."),
    text=("text", "Its text; formats other than plain text are rendered as Markdown."),
    content_hash=("bytea", "16 bytes over the raw document and its source's settings."),
    metadata=("jsonb", "The source's metadata, front matter, encoding."),
    domain=("text", "The document's own, or by its path, or its source's."),
    category=("text", "The document's own, or by its path, or its source's."),
    bytes=("bigint", "Size of the raw document, or of the archive that it is in."),
    modified_at=("timestamptz", "When the source says it was modified."),
    ingested_at=("timestamptz", "When it was read."),
    chunked_as=("bytea", "Names the text and the chunker that its chunks were made from."),
)

CHUNKS = _schema(
    chunk_id=("uuid", "Stable: same document, same text, same occurrence."),
    document_id=("uuid", "The document it is part of."),
    partition_key=("text", "Partition of its document."),
    ordinal=("integer", "Position in the document, from 0."),
    heading=("text", "Path of the headings above it."),
    text=("text", "The document's text from start_offset to end_offset."),
    content_hash=("bytea", "16 bytes over what is embedded: heading path, or context, and text."),
    tokens=("integer", "Tokens of what is embedded."),
    start_offset=("integer", "First character in the document's text."),
    end_offset=("integer", "After its last character."),
    context=("text", "Embedded before the text in the heading's place; none if the heading is."),
    chunker=("text", "Names the chunker and its limits."),
    superseded=("boolean", "Replaced, but searchable until its replacements have vectors."),
)

EMBEDDINGS = _schema(
    chunk_id=("uuid", "The chunk."),
    content_hash=("bytea", "Of the text the vector was made from; equal to the chunk's."),
    embedding=("vector", "Unit length; halfvec above 2,000 dimensions."),
    embedded_at=("timestamptz", "When it was stored."),
)

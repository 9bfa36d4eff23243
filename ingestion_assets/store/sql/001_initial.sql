-- Sources, documents, chunks, and generations of embeddings.
-- The tables embeddings_<n> are made with their generation: their width is the model's.

CREATE EXTENSION IF NOT EXISTS vector;

CREATE TABLE ingestion.sources (
    name     text PRIMARY KEY,
    kind     text NOT NULL,
    config   jsonb NOT NULL,
    buckets  integer NOT NULL CHECK (buckets > 0)
);

CREATE TABLE ingestion.documents (
    document_id    uuid PRIMARY KEY,
    source         text NOT NULL REFERENCES ingestion.sources,
    partition_key  text NOT NULL,
    uri            text NOT NULL,
    media_type     text NOT NULL,
    title          text NOT NULL,
    text           text NOT NULL,
    content_hash   bytea NOT NULL,
    metadata       jsonb NOT NULL,
    domain         text,
    category       text,
    bytes          bigint NOT NULL,
    modified_at    timestamptz NOT NULL,
    ingested_at    timestamptz NOT NULL,
    chunked_as     bytea,
    UNIQUE (source, uri)
);
COMMENT ON COLUMN ingestion.documents.chunked_as IS
    'Names the text and the chunker that the stored chunks were made from.';
CREATE INDEX documents_partition ON ingestion.documents (partition_key, document_id);

CREATE TABLE ingestion.chunks (
    chunk_id       uuid PRIMARY KEY,
    document_id    uuid NOT NULL REFERENCES ingestion.documents ON DELETE CASCADE,
    partition_key  text NOT NULL,
    ordinal        integer NOT NULL,
    heading        text NOT NULL,
    text           text NOT NULL,
    content_hash   bytea NOT NULL,
    tokens         integer NOT NULL,
    start_offset   integer NOT NULL,
    end_offset     integer NOT NULL,
    chunker        text NOT NULL,
    superseded     boolean NOT NULL DEFAULT false
) WITH (toast_tuple_target = 8160);
ALTER TABLE ingestion.chunks ALTER text SET STORAGE EXTERNAL;
COMMENT ON COLUMN ingestion.chunks.superseded IS
    'No longer in its document, but searchable until the replacements have their vectors.';
CREATE INDEX chunks_partition ON ingestion.chunks (partition_key, chunk_id);
CREATE INDEX chunks_document ON ingestion.chunks (document_id);

CREATE TABLE ingestion.generations (
    generation_id    integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    model            text NOT NULL,
    digest           text NOT NULL,
    dimensions       integer NOT NULL CHECK (dimensions > 0),
    storage          text NOT NULL CHECK (storage IN ('vector', 'halfvec')),
    document_prefix  text NOT NULL,
    query_prefix     text NOT NULL,
    options          jsonb NOT NULL,
    fingerprint      text NOT NULL UNIQUE,
    status           text NOT NULL DEFAULT 'building'
                     CHECK (status IN ('building', 'active', 'retired')),
    created_at       timestamptz NOT NULL DEFAULT now(),
    activated_at     timestamptz
);
CREATE UNIQUE INDEX generations_one_active ON ingestion.generations ((true)) WHERE status = 'active';

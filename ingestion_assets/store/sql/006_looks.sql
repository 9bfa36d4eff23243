-- When each partition was last compared with its documents, and which could not be read then.

CREATE TABLE ingestion.looks (
    partition_key  text PRIMARY KEY,
    source         text NOT NULL REFERENCES ingestion.sources ON DELETE CASCADE,
    looked_at      timestamptz NOT NULL
);

CREATE TABLE ingestion.unread (
    source         text NOT NULL REFERENCES ingestion.sources ON DELETE CASCADE,
    uri            text NOT NULL,
    partition_key  text NOT NULL,
    error_class    text NOT NULL,
    error          text NOT NULL,
    failed_at      timestamptz NOT NULL,
    PRIMARY KEY (source, uri)
);
COMMENT ON TABLE ingestion.unread IS
    'Documents, and folders with a slash at the end, that could not be read at the latest look.';
CREATE INDEX unread_partition ON ingestion.unread (partition_key);

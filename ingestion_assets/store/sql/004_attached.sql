-- Tables of others that are kept embedded, and what is known of each of their rows.

CREATE TABLE ingestion.attachments (
    attachment_id  integer GENERATED ALWAYS AS IDENTITY UNIQUE,
    name           text PRIMARY KEY,
    relation       regclass NOT NULL,
    key_columns    jsonb NOT NULL,
    config         jsonb NOT NULL,
    vector_column  text,
    status_column  text,
    channel        text NOT NULL,
    trigger_kind   text NOT NULL CHECK (trigger_kind IN ('installed', 'adopted')),
    undo           jsonb NOT NULL,
    model          text NOT NULL,
    digest         text NOT NULL,
    dimensions     integer NOT NULL CHECK (dimensions > 0),
    scanned_to     text,
    scanned_at     timestamptz,
    created_at     timestamptz NOT NULL DEFAULT now(),
    UNIQUE NULLS NOT DISTINCT (relation, vector_column),
    CHECK ((vector_column IS NULL) = (status_column IS NULL))
);
COMMENT ON COLUMN ingestion.attachments.vector_column IS
    'None: the rows become documents and chunks of ours.';
COMMENT ON COLUMN ingestion.attachments.undo IS
    'What was added to the table, and is taken away again when it is detached.';
COMMENT ON COLUMN ingestion.attachments.scanned_to IS
    'The last key of those that were there at first and are enqueued by now.';

CREATE TABLE ingestion.attached_rows (
    row_id        uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    attachment    text NOT NULL REFERENCES ingestion.attachments ON DELETE CASCADE,
    row_key       text NOT NULL,
    content_hash  bytea,
    state         text NOT NULL DEFAULT 'pending'
                  CHECK (state IN ('pending', 'processing', 'completed', 'skipped', 'error')),
    quarantined   boolean NOT NULL DEFAULT false,
    attempts      integer NOT NULL DEFAULT 0,
    error_class   text,
    error         text,
    owner         text,
    lease_until   timestamptz,
    not_before    timestamptz,
    enqueued_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    completed_at  timestamptz,
    UNIQUE (attachment, row_key),
    CHECK (state = 'error' OR NOT quarantined),
    CHECK (state <> 'error' OR (error_class IS NOT NULL AND error IS NOT NULL))
) WITH (fillfactor = 70);
COMMENT ON COLUMN ingestion.attached_rows.content_hash IS
    'The text that the stored vector was made of; none while there is no vector.';
CREATE INDEX attached_rows_ready ON ingestion.attached_rows (attachment, enqueued_at)
    WHERE state IN ('pending', 'processing') OR (state = 'error' AND NOT quarantined);

-- Rows that changed are pending again, whatever became of them before. In the order of their keys,
-- so that two statements about the same rows wait for one another instead of deadlocking.
CREATE FUNCTION ingestion.enqueue_attached(attached text, keys text[]) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF keys = '{}' THEN RETURN; END IF;
    INSERT INTO ingestion.attached_rows AS r (attachment, row_key)
    SELECT attached, k.row_key FROM (SELECT DISTINCT unnest(keys)) AS k (row_key)
    ORDER BY k.row_key
    ON CONFLICT (attachment, row_key) DO UPDATE SET
        state = 'pending', quarantined = false, attempts = 0, error_class = NULL, error = NULL,
        owner = NULL, lease_until = NULL, not_before = NULL, enqueued_at = clock_timestamp();
    PERFORM pg_notify('ingestion_ledger', '');
END $$;

-- Rows that are gone leave nothing behind.
CREATE FUNCTION ingestion.forget_attached(attached text, keys text[]) RETURNS void
LANGUAGE sql AS $$
    DELETE FROM ingestion.documents d USING ingestion.attached_rows r
    WHERE r.attachment = attached AND r.row_key = ANY (keys) AND d.document_id = r.row_id;
    DELETE FROM ingestion.attached_rows r
    WHERE r.attachment = attached AND r.row_key = ANY (keys);
$$;
REVOKE ALL ON FUNCTION ingestion.enqueue_attached, ingestion.forget_attached FROM PUBLIC;

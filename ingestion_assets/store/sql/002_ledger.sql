-- What a chunk without a vector waits for, or why it will not get one.

CREATE TABLE ingestion.ledger (
    generation_id  integer NOT NULL REFERENCES ingestion.generations ON DELETE CASCADE,
    chunk_id       uuid NOT NULL REFERENCES ingestion.chunks ON DELETE CASCADE,
    content_hash   bytea NOT NULL,
    state          text NOT NULL CHECK (state IN ('pending', 'processing', 'error')),
    quarantined    boolean NOT NULL DEFAULT false,
    attempts       integer NOT NULL DEFAULT 0,
    error_class    text,
    error          text,
    owner          text,
    lease_until    timestamptz,
    not_before     timestamptz,
    enqueued_at    timestamptz NOT NULL DEFAULT now(),
    failed_at      timestamptz,
    PRIMARY KEY (chunk_id, generation_id),  -- in this order it serves the cascade from chunks too
    CHECK (state = 'error' OR NOT quarantined),
    CHECK (state <> 'error' OR (error_class IS NOT NULL AND error IS NOT NULL
                                AND failed_at IS NOT NULL))
) WITH (fillfactor = 50);
COMMENT ON COLUMN ingestion.ledger.content_hash IS
    'The text that the row is about; a row about another text than its chunk''s is void.';
COMMENT ON COLUMN ingestion.ledger.quarantined IS
    'The text itself is at fault: left alone until it, the generation or the operator changes.';
CREATE INDEX ledger_errors ON ingestion.ledger (generation_id, content_hash) WHERE state = 'error';

-- Let the views show a generation. They are made anew: the width of a vector is part of a view.
CREATE FUNCTION ingestion.show_generation(shown integer) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    DROP VIEW IF EXISTS ingestion.chunk_status, ingestion.embeddings;
    EXECUTE format('CREATE VIEW ingestion.embeddings AS SELECT * FROM ingestion.%I',
                   'embeddings_' || shown);
    EXECUTE format($view$
        CREATE VIEW ingestion.chunk_status AS
        SELECT c.chunk_id, %1$s AS generation_id,
               coalesce(l.state, CASE WHEN e.content_hash = c.content_hash THEN 'completed'
                                      ELSE 'pending' END) AS state
        FROM ingestion.chunks c
        LEFT JOIN ingestion.embeddings e USING (chunk_id)
        LEFT JOIN ingestion.ledger l ON l.chunk_id = c.chunk_id AND l.generation_id = %1$s
                                    AND l.content_hash = c.content_hash
        WHERE NOT c.superseded
        $view$, shown);
END $$;
SELECT ingestion.show_generation(generation_id)
FROM ingestion.generations WHERE status = 'active';

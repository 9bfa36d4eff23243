-- Chunks enqueue themselves in the ledger, and what waits there has one owner at a time.

-- One row for each process at work, so that a lease of thousands of chunks is renewed in one row.
CREATE TABLE ingestion.owners (
    owner        text PRIMARY KEY,
    lease_until  timestamptz NOT NULL
);
COMMENT ON TABLE ingestion.owners IS
    'Who has chunks in hand; when its lease ends without a renewal, they go to others.';
COMMENT ON COLUMN ingestion.ledger.lease_until IS
    'First lease of the claim; the owner''s own lease prolongs it.';

-- Claiming changes no indexed column, so that Postgres updates the row within its page. What waits
-- for a later attempt is not in the way of what can be taken now.
DROP INDEX ingestion.ledger_errors;
CREATE INDEX ledger_ready ON ingestion.ledger (generation_id, (coalesce(not_before, enqueued_at)))
    WHERE NOT quarantined;
CREATE INDEX ledger_failed ON ingestion.ledger (generation_id, content_hash)
    WHERE error_class IS NOT NULL;

-- Finds at once that there is nothing to drop for a document, as is usual.
CREATE INDEX chunks_superseded ON ingestion.chunks (document_id) WHERE superseded;

-- Checking the reference for every row was a third of what a chunk's enqueueing costs.
ALTER TABLE ingestion.ledger DROP CONSTRAINT ledger_generation_id_fkey;
CREATE FUNCTION ingestion.forget_generation() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM ingestion.ledger WHERE generation_id = OLD.generation_id;
    RETURN NULL;
END $$;
CREATE TRIGGER forget_generation AFTER DELETE ON ingestion.generations
    FOR EACH ROW EXECUTE FUNCTION ingestion.forget_generation();

-- Full jitter, so that what failed together does not come back together.
CREATE FUNCTION ingestion.retry_at(attempts integer) RETURNS timestamptz LANGUAGE sql VOLATILE
RETURN clock_timestamp() + random() * least(3600, 5 * 2 ^ least(attempts, 10)) * interval '1 s';

CREATE FUNCTION ingestion.enqueue_inserted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO ingestion.ledger (generation_id, chunk_id, content_hash, state)
    SELECT g.generation_id, n.chunk_id, n.content_hash, 'pending'
    FROM ingestion.generations g CROSS JOIN inserted n
    WHERE g.status <> 'retired' AND NOT n.superseded;
    IF FOUND THEN
        PERFORM pg_notify('ingestion_ledger', '');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER enqueue_inserted AFTER INSERT ON ingestion.chunks
    REFERENCING NEW TABLE AS inserted
    FOR EACH STATEMENT EXECUTE FUNCTION ingestion.enqueue_inserted();

CREATE FUNCTION ingestion.enqueue_updated() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM before o JOIN after n USING (chunk_id)
                   WHERE n.superseded <> o.superseded OR n.content_hash <> o.content_hash) THEN
        RETURN NULL;  -- most chunks that change have only moved
    END IF;
    DELETE FROM ingestion.ledger l USING after n
    WHERE l.chunk_id = n.chunk_id AND (n.superseded OR n.content_hash <> l.content_hash);
    INSERT INTO ingestion.ledger (generation_id, chunk_id, content_hash, state)
    SELECT g.generation_id, n.chunk_id, n.content_hash, 'pending'
    FROM ingestion.generations g CROSS JOIN after n JOIN before o USING (chunk_id)
    WHERE g.status <> 'retired' AND NOT n.superseded
      AND (o.superseded OR n.content_hash <> o.content_hash)
    ON CONFLICT DO NOTHING;
    IF FOUND THEN
        PERFORM pg_notify('ingestion_ledger', '');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER enqueue_updated AFTER UPDATE ON ingestion.chunks
    REFERENCING OLD TABLE AS before NEW TABLE AS after
    FOR EACH STATEMENT EXECUTE FUNCTION ingestion.enqueue_updated();

-- What the triggers cannot know: chunks that are older than their generation, or came while it was
-- retired. Returns how many were enqueued; no partition means all.
CREATE FUNCTION ingestion.enqueue_missing(generation integer, partition text) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    enqueued bigint;
BEGIN
    DELETE FROM ingestion.ledger l USING ingestion.chunks c
    WHERE l.generation_id = generation AND l.chunk_id = c.chunk_id
      AND (partition IS NULL OR c.partition_key = partition)
      AND (c.superseded OR l.content_hash <> c.content_hash);
    EXECUTE format($insert$
        INSERT INTO ingestion.ledger (generation_id, chunk_id, content_hash, state)
        SELECT $1, c.chunk_id, c.content_hash, 'pending'
        FROM ingestion.chunks c
        LEFT JOIN ingestion.%I e USING (chunk_id)
        LEFT JOIN ingestion.ledger l ON l.chunk_id = c.chunk_id AND l.generation_id = $1
        WHERE NOT c.superseded AND ($2 IS NULL OR c.partition_key = $2)
          AND e.content_hash IS DISTINCT FROM c.content_hash AND l.chunk_id IS NULL
        ON CONFLICT DO NOTHING
        $insert$, 'embeddings_' || generation) USING generation, partition;
    GET DIAGNOSTICS enqueued = ROW_COUNT;
    IF enqueued > 0 THEN
        PERFORM pg_notify('ingestion_ledger', '');
    END IF;
    RETURN enqueued;
END $$;

-- A chunk that has its vector is completed, whatever waits for it in the ledger.
CREATE OR REPLACE FUNCTION ingestion.show_generation(shown integer) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    DROP VIEW IF EXISTS ingestion.chunk_status, ingestion.embeddings;
    EXECUTE format('CREATE VIEW ingestion.embeddings AS SELECT * FROM ingestion.%I',
                   'embeddings_' || shown);
    EXECUTE format($view$
        CREATE VIEW ingestion.chunk_status AS
        SELECT c.chunk_id, %1$s AS generation_id,
               CASE WHEN e.content_hash = c.content_hash THEN 'completed'
                    ELSE coalesce(l.state, 'pending') END AS state
        FROM ingestion.chunks c
        LEFT JOIN ingestion.embeddings e USING (chunk_id)
        LEFT JOIN ingestion.ledger l ON l.chunk_id = c.chunk_id AND l.generation_id = %1$s
                                    AND l.content_hash = c.content_hash
        WHERE NOT c.superseded
        $view$, shown);
END $$;
SELECT ingestion.show_generation(generation_id)
FROM ingestion.generations WHERE status = 'active';
SELECT ingestion.enqueue_missing(generation_id, NULL)
FROM ingestion.generations WHERE status <> 'retired';

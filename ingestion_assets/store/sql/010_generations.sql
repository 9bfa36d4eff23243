-- Generations beside the active one: what each is to become, and how long the last one is kept.

ALTER TABLE ingestion.generations
    DROP CONSTRAINT generations_status_check,
    ADD CONSTRAINT generations_status_check
        CHECK (status IN ('building', 'active', 'retired', 'dropped')),
    ADD COLUMN shortened boolean NOT NULL DEFAULT false,
    ADD COLUMN asked_for boolean NOT NULL DEFAULT false,
    ADD COLUMN plan jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN golden jsonb,
    ADD COLUMN gate jsonb,
    ADD COLUMN retired_at timestamptz,
    ADD COLUMN drop_after timestamptz,
    ADD COLUMN maintained boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN ingestion.generations.shortened IS
    'The model gives more dimensions; each request asks for so many of them.';
COMMENT ON COLUMN ingestion.generations.asked_for IS
    'Opened by an operator; while it is in use, the settings open no other for its model.';
COMMENT ON COLUMN ingestion.generations.plan IS
    'What makes it active, so that whoever completes it does the same.';
COMMENT ON COLUMN ingestion.generations.golden IS
    'Questions and the documents they should find; it must not find fewer than the active one.';
COMMENT ON COLUMN ingestion.generations.gate IS 'How it did with them.';
COMMENT ON COLUMN ingestion.generations.maintained IS
    'Retired, but still filled: it can become active again at once.';

-- Nobody has asked for those that are retired already to be kept: as long as others are.
UPDATE ingestion.generations SET retired_at = now(), drop_after = now() + interval '7 days'
WHERE status = 'retired';

-- Those that every new and changed text goes to.
CREATE VIEW ingestion.filled AS
SELECT generation_id, status FROM ingestion.generations
WHERE status IN ('active', 'building')
   OR status = 'retired' AND maintained AND drop_after > now();

CREATE OR REPLACE FUNCTION ingestion.enqueue_inserted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO ingestion.ledger (generation_id, chunk_id, content_hash, state)
    SELECT g.generation_id, n.chunk_id, n.content_hash, 'pending'
    FROM ingestion.filled g CROSS JOIN inserted n
    WHERE NOT n.superseded;
    IF FOUND THEN
        PERFORM pg_notify('ingestion_ledger', '');
    END IF;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION ingestion.enqueue_updated() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM before o JOIN after n USING (chunk_id)
                   WHERE n.superseded <> o.superseded OR n.content_hash <> o.content_hash) THEN
        RETURN NULL;  -- most chunks that change have only moved
    END IF;
    DELETE FROM ingestion.ledger l USING after n
    WHERE l.chunk_id = n.chunk_id AND (n.superseded OR n.content_hash <> l.content_hash);
    INSERT INTO ingestion.ledger (generation_id, chunk_id, content_hash, state)
    SELECT g.generation_id, n.chunk_id, n.content_hash, 'pending'
    FROM ingestion.filled g CROSS JOIN after n JOIN before o USING (chunk_id)
    WHERE NOT n.superseded
      AND (o.superseded OR n.content_hash <> o.content_hash)
    ON CONFLICT DO NOTHING;
    IF FOUND THEN
        PERFORM pg_notify('ingestion_ledger', '');
    END IF;
    RETURN NULL;
END $$;

-- What a generation's model gave for texts of many kinds, and by whom it was served: a later server
-- that gives other vectors is noticed, and what changed since can be said.

CREATE TABLE ingestion.baselines (
    generation_id   integer PRIMARY KEY REFERENCES ingestion.generations ON DELETE CASCADE,
    texts           bytea NOT NULL,
    vectors         real[] NOT NULL,
    server_version  text NOT NULL,
    chunkers        text[] NOT NULL,
    recorded_at     timestamptz NOT NULL DEFAULT now(),
    compared_at     timestamptz NOT NULL DEFAULT now()
);
COMMENT ON COLUMN ingestion.baselines.texts IS
    'Names the texts; vectors of other texts cannot be compared, and are recorded anew.';
COMMENT ON COLUMN ingestion.baselines.chunkers IS
    'The chunkers of the stored chunks when it was recorded.';

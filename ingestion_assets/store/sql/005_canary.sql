-- What the model of a generation gave for a fixed sentence: another vector is another model.

ALTER TABLE ingestion.generations ADD COLUMN canary real[];
COMMENT ON COLUMN ingestion.generations.canary IS
    'The vector of a fixed sentence, from before the first chunk was embedded.';

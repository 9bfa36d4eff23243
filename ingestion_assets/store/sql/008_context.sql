-- A source may have other text than the heading path embedded before its chunks, or none.

ALTER TABLE ingestion.chunks ADD COLUMN context text;
COMMENT ON COLUMN ingestion.chunks.context IS
    'What is embedded before the text in the place of the heading; none if the heading is.';

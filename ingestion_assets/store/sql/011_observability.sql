-- What the short-lived runs have counted, for whoever is scraped; and the latest documents, found
-- at once, for how fresh a source is.

CREATE TABLE ingestion.counters (
    source  text NOT NULL REFERENCES ingestion.sources ON DELETE CASCADE,
    name    text NOT NULL,
    labels  jsonb NOT NULL,
    value   float8 NOT NULL,
    PRIMARY KEY (source, name, labels)
) WITH (fillfactor = 50);
COMMENT ON TABLE ingestion.counters IS
    'Prometheus counters of the runs, added up; the labels are those beside the source.';

CREATE INDEX documents_latest ON ingestion.documents (source, ingested_at DESC);

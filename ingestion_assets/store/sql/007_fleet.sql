-- One limit of requests in flight per Ollama server, for all processes on all hosts.
-- A slot is an advisory lock (server, 1..n) of a session, so that it ends with its process; the
-- numbers 0 and -1 are held together by all who want slots: for a backfill, and for somebody who
-- waits.

CREATE UNLOGGED TABLE ingestion.servers (
    url           text PRIMARY KEY,
    target        real NOT NULL DEFAULT 2,
    ceiling       real NOT NULL DEFAULT 1000000,
    resume        real NOT NULL DEFAULT 4,
    probing       smallint NOT NULL DEFAULT 2,
    lowest        float8 NOT NULL DEFAULT 0,
    requests      bigint NOT NULL DEFAULT 0,
    texts         bigint NOT NULL DEFAULT 0,
    seconds       float8 NOT NULL DEFAULT 0,
    measured_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    probed_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    refused_at    timestamptz NOT NULL DEFAULT '-infinity'
);
COMMENT ON TABLE ingestion.servers IS
    'Requests in flight that keep each Ollama server busy, as the processes that share it found.';

CREATE FUNCTION ingestion.hold_slots(
    server integer, held integer[], candidates integer[], wanted integer, presence integer,
    OUT slots integer[], OUT backfills integer, OUT live integer
) LANGUAGE plpgsql AS $$
DECLARE
    slot integer;
    present boolean;
BEGIN
    slots := held;
    WHILE cardinality(slots) > wanted LOOP
        -- First what is not to be had any more, then the one taken last.
        SELECT s INTO slot FROM unnest(slots) WITH ORDINALITY AS u(s, n)
        ORDER BY s = ANY (candidates), n DESC LIMIT 1;
        PERFORM pg_advisory_unlock(server, slot);
        slots := array_remove(slots, slot);
    END LOOP;
    FOREACH slot IN ARRAY candidates LOOP
        EXIT WHEN cardinality(slots) >= wanted;
        -- A session gets a lock that it holds again, and would count it twice.
        CONTINUE WHEN slot = ANY (slots);
        IF pg_try_advisory_lock(server, slot) THEN
            slots := slots || slot;
        END IF;
    END LOOP;
    present := EXISTS (
        SELECT FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()
            AND classid = server::oid AND objid = presence::oid AND objsubid = 2
    );
    IF wanted > 0 AND NOT present THEN
        PERFORM pg_advisory_lock_shared(server, presence);
    ELSIF wanted = 0 AND present THEN
        PERFORM pg_advisory_unlock_shared(server, presence);
    END IF;
    SELECT count(*) FILTER (WHERE objid = 0::oid), count(*) FILTER (WHERE objid = (-1)::oid)
    INTO backfills, live
    FROM pg_locks
    WHERE locktype = 'advisory' AND classid = server::oid AND objsubid = 2 AND granted
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database());
END
$$;

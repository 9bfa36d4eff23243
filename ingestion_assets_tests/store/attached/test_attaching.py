"""A table is attached as it was asked for, or refused with the remedy and left untouched."""

from dataclasses import replace
from typing import Any

import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from ingestion_assets.errors import ConfigError, StoreError, StoreUnavailableError
from ingestion_assets.store import sources
from ingestion_assets.store.attached import Request, attach, attachments, detach
from ingestion_assets.store.attached.reading import Columns, Expression
from ingestion_assets.store.attached.wanted import Wanted
from ingestion_assets.store.connection import Connection, connect
from ingestion_assets_tests.store.attached.given import (
    BLOCKS,
    NOTES,
    OF_BLOCKS,
    OWN_TRIGGER,
    REQUEST,
    attached,
    catalog,
    lengths,
    queue,
    statuses,
    work,
)


@pytest.fixture
def notes(connection):
    connection.execute(NOTES)
    connection.execute("INSERT INTO notes (title, body) VALUES ('one', 'a')")
    return connection


def refused(connection: Connection, match: str, request: Request = REQUEST, **changes: Any) -> None:
    """Check that a request is refused, and that nothing was changed by it."""
    before = catalog(connection)
    with pytest.raises(ConfigError, match=match):
        attach(connection, replace(request, **changes))
    assert catalog(connection) == before


def test_detaching_leaves_the_table_as_it_was(notes, database):
    before, rows = catalog(notes), notes.execute("SELECT * FROM notes").fetchall()
    made = attached(notes)
    work(queue(database, made))
    assert made.undo == {"columns": ["embedding", "embedding_status"]}
    assert catalog(notes) != before
    detach(notes, "notes")
    assert catalog(notes) == before
    assert notes.execute("SELECT * FROM notes").fetchall() == rows


def test_detaching_blocks_leaves_both_tables_as_they_were(connection):
    connection.execute(BLOCKS)
    before = catalog(connection)
    attached(connection, OF_BLOCKS)
    detach(connection, "blocks")
    assert catalog(connection) == before


def test_columns_that_were_there_stay_with_what_is_in_them(notes, database):
    notes.execute("ALTER TABLE notes ADD embedding vector, ADD embedding_status text")
    before = catalog(notes)
    made = attached(notes)
    assert made.undo == {"columns": []}
    assert statuses(notes) == {"pending": ["1"]}
    work(queue(database, made))
    rows = notes.execute("SELECT * FROM notes").fetchall()
    detach(notes, "notes")
    assert catalog(notes) == before
    assert notes.execute("SELECT * FROM notes").fetchall() == rows


def test_a_trigger_of_the_applications_own_is_adopted_and_not_touched(notes):
    notes.execute(OWN_TRIGGER)
    before = catalog(notes)
    made = attached(notes)
    assert (made.adopted, made.channel) == (True, "embedding_queue")
    own = ("columns", "triggers", "functions", "indexes", "constraints", "rights")
    assert [catalog(notes)[name] for name in own] == [before[name] for name in own]
    detach(notes, "notes")
    assert catalog(notes) == before


def test_a_trigger_that_is_disabled_is_not_adopted(notes):
    notes.execute(OWN_TRIGGER)
    notes.execute("ALTER TABLE notes DISABLE TRIGGER queue_embedding")
    assert not attached(notes).adopted


def test_a_table_is_attached_again_after_it_was_detached(notes, database):
    attached(notes)
    detach(notes, "notes")
    assert work(queue(database, attached(notes))) == ["note: one\n\na"]


def test_a_table_that_was_dropped_can_be_detached(notes):
    before = catalog(notes)["functions"]
    attached(notes)
    notes.execute("DROP TABLE notes")
    assert attachments(notes)[0].table is None
    detach(notes, "notes")
    assert attachments(notes) == []
    assert catalog(notes)["functions"] == before


def test_a_table_that_is_renamed_stays_attached(notes, database):
    attached(notes)
    notes.execute("CREATE SCHEMA app; ALTER TABLE notes SET SCHEMA app")
    notes.execute("ALTER TABLE app.notes RENAME TO memos")
    (made,) = attachments(notes)
    assert made.title == "app.memos"
    assert work(queue(database, made)) == ["note: one\n\na"]


def test_what_depends_on_an_added_column_is_named(notes):
    attached(notes)
    notes.execute("CREATE VIEW done AS SELECT id FROM notes WHERE embedding_status = 'completed'")
    with pytest.raises(StoreError, match=r"view done depends"):
        detach(notes, "notes")
    assert len(attachments(notes)) == 1


def test_an_unknown_attachment_is_named_with_those_there_are(notes):
    attached(notes)
    with pytest.raises(ConfigError, match="'nots'; attached are: notes"):
        detach(notes, "nots")


HOSTILE = ['Note"s; DROP TABLE x --', "select", "Sp ace", "%s", "{key}", "ünï'codé", "$$"]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_any_names_of_schema_table_and_columns_are_served(connection, database, hostile):
    table = sql.Identifier(hostile, hostile)
    key, text, vector, status = (hostile + suffix for suffix in ("k", "t", "v", "s"))
    connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(hostile)))
    connection.execute(
        sql.SQL("CREATE TABLE {} ({} text PRIMARY KEY, {} text)").format(
            table, sql.Identifier(key), sql.Identifier(text)
        )
    )
    made = attached(
        connection,
        table=table.as_string(),
        wanted=Wanted(columns=(text,)),
        vector_column=vector,
        status_column=status,
        name="hostile",
    )
    insert = sql.SQL("INSERT INTO {} VALUES ({}, 'a'), ('x', 'b')").format(table, hostile)
    connection.execute(insert)
    connection.execute(sql.SQL("UPDATE {} SET {} = 'c'").format(table, sql.Identifier(text)))
    connection.execute(sql.SQL("DELETE FROM {} WHERE {} = 'x'").format(table, sql.Identifier(key)))
    assert work(queue(database, made)) == ["note: c"]
    row = connection.execute(
        sql.SQL("SELECT {} FROM {}").format(sql.Identifier(status), table)
    ).fetchone()
    assert row == ("completed",)
    detach(connection, "hostile")


@pytest.mark.parametrize(
    ("columns", "values"),
    [
        ("id int PRIMARY KEY", "1"),
        ("id smallint PRIMARY KEY", "1"),
        ("id uuid PRIMARY KEY", "'0190a8b4-0000-7000-8000-000000000001'"),
        ("id varchar(9) PRIMARY KEY", "'a b'"),
        ("id numeric PRIMARY KEY", "1.50"),
        ("id text NOT NULL UNIQUE", "'[\"x\"]'"),
        ("id int, part text, PRIMARY KEY (part, id)", "1, 'a\"b'"),
    ],
)
def test_keys_of_these_types_are_served(connection, database, columns, values):
    connection.execute(f"CREATE TABLE notes ({columns}, title text, body text)")
    connection.execute(f"INSERT INTO notes VALUES ({values}, 'one', NULL)")
    made = attached(connection, keys=("id",) if "UNIQUE" in columns else ())
    assert work(queue(database, made)) == ["note: one"]
    connection.execute("UPDATE notes SET body = 'b'")
    assert work(queue(database, made)) == ["note: one\n\nb"]
    connection.execute("DELETE FROM notes")
    assert connection.execute("SELECT count(*) FROM ingestion.attached_rows").fetchone() == (0,)


def test_a_composite_key_is_scanned_in_pages(connection, database, monkeypatch):
    monkeypatch.setattr("ingestion_assets.store.attached.scanning.PAGE", 3)
    connection.execute("CREATE TABLE notes (a int, b text, title text, PRIMARY KEY (b, a))")
    connection.execute(
        "INSERT INTO notes SELECT i, j, 'x' || i || j FROM generate_series(1, 4) i,"
        " unnest('{p,q}'::text[]) j"
    )
    made = attached(connection, wanted=Wanted(columns=("title",)))
    assert len(work(queue(database, made))) == 8


def test_an_expression_reads_the_columns_it_names(notes, database):
    made = attached(
        notes, wanted=Wanted(expression="notes.title || E' %s {x}\\n' || coalesce(body, '-')")
    )
    assert made.reading == Expression(
        "notes.title || E' %s {x}\\n' || coalesce(body, '-')", ("title", "body")
    )
    assert work(queue(database, made)) == ["note: one %s {x}\na"]
    notes.execute("UPDATE notes SET pinned = true")
    assert work(queue(database, made)) == []
    notes.execute("UPDATE notes SET body = NULL")
    assert work(queue(database, made)) == ["note: one %s {x}\n-"]


def test_a_column_of_json_is_read_as_its_text(connection, database):
    connection.execute("CREATE TABLE notes (id int PRIMARY KEY, body jsonb)")
    connection.execute("""INSERT INTO notes VALUES (1, '{"text": "in JSON", "by": 7}')""")
    made = attached(connection, wanted=Wanted(columns=("body",)))
    assert made.reading == Columns(("body",))
    assert work(queue(database, made)) == ["note: in JSON"]
    connection.execute("""UPDATE notes SET body = body || '{"by": 8}'""")
    assert work(queue(database, made)) == []
    assert statuses(connection) == {"completed": ["1"]}


@pytest.mark.parametrize(
    ("expression", "match"),
    [
        ("titel", 'column "titel" does not exist'),
        ("count(*)", "aggregate functions are not allowed"),
        ("(SELECT 'x')", "cannot use subquery"),
        ("'always the same'", "reads no column"),
        ("title ||", "syntax error"),
    ],
)
def test_a_wrong_expression_is_refused(notes, expression, match):
    refused(notes, match, wanted=Wanted(expression=expression))


@pytest.mark.parametrize(
    ("wanted", "match"),
    [
        (Wanted(), "in one way"),
        (Wanted(columns=("title",), expression="body"), "in one way"),
        (Wanted(type="title"), "in one way"),
        (Wanted(columns=("titel",)), r"'titel': public\.notes has no such column; it has id, tit"),
        (Wanted(type="title", content="body", position="id"), "needs --document-column"),
        (Wanted(type="title", content="body", document="pinned"), "has the type boolean"),
        (
            Wanted(type="title", content="body", title="x", title_table="notes"),
            "needs --document-column",
        ),
    ],
)
def test_what_is_not_there_or_contradicts_itself_is_refused(notes, wanted, match):
    refused(notes, match, wanted=wanted)


@pytest.mark.parametrize(
    ("statement", "name", "match"),
    [
        ("CREATE VIEW x AS SELECT * FROM notes", "x", "a view; attach the table"),
        ("CREATE MATERIALIZED VIEW x AS SELECT 1 AS id", "x", "a materialized view"),
        ("CREATE TABLE x (id int PRIMARY KEY) PARTITION BY RANGE (id)", "x", "partitioned"),
        ("CREATE TEMPORARY TABLE x (id int PRIMARY KEY)", "x", "temporary"),
        ("CREATE TABLE x (i int PRIMARY KEY) INHERITS (notes)", "x", "inheritance"),
        ("CREATE TABLE x (title text, body text)", "x", "no primary key; give it one"),
        ("CREATE TABLE x (id date PRIMARY KEY)", "x", "has the type date"),
        ("SELECT 1", "Notes2", "no table 'Notes2'; write schema.table"),
        ("SELECT 1", "not a name", "schema.table"),
        ("SELECT 1", "a.b.c.d", "schema.table"),
        ("SELECT 1", "ingestion.documents", "table of your own"),
        ("SELECT 1", "pg_catalog.pg_class", "table of your own"),
    ],
)
def test_what_is_no_plain_table_with_a_key_is_refused(notes, statement, name, match):
    notes.execute(statement)
    refused(notes, match, table=name)


@pytest.mark.parametrize(
    ("keys", "match"),
    [(("title",), "no unique index"), (("id", "title"), "exactly these"), (("code",), "be NULL")],
)
def test_a_key_that_is_none_is_refused(notes, keys, match):
    notes.execute("ALTER TABLE notes ADD code text UNIQUE")
    refused(notes, match, keys=keys)


@pytest.mark.parametrize(
    ("columns", "match"),
    [
        ("embedding vector(768)", r"vector\(768\), but the model gives 4 dimensions; choose"),
        ("embedding real[]", "is of type real"),
        ("embedding vector(4) NOT NULL DEFAULT '[1,2,3,4]'", "NOT NULL"),
        ("embedding_status varchar(5)", r"character varying\(5\); make it varchar\(20\)"),
        ("embedding_status int", "is of type integer"),
        ("embedding_status text CHECK (embedding_status <> 'skipped')", "refuses the status 'ski"),
    ],
)
def test_columns_that_do_not_fit_are_refused(notes, columns, match):
    notes.execute(f"ALTER TABLE notes ADD {columns}")
    refused(notes, match)


def test_half_precision_columns_are_served(notes, database):
    notes.execute("ALTER TABLE notes ADD embedding halfvec(4)")
    work(queue(database, attached(notes)))
    assert lengths(notes) == [12]


def test_a_trigger_that_resets_every_status_is_refused(notes):
    notes.execute(OWN_TRIGGER)
    notes.execute("DROP TRIGGER queue_embedding ON notes")
    notes.execute(
        "CREATE TRIGGER always BEFORE UPDATE ON notes FOR EACH ROW"
        " EXECUTE FUNCTION queue_embedding()"
    )
    refused(notes, "turns the status 'processing' into 'pending'")


def test_a_generated_column_is_refused_where_a_trigger_could_not_see_it(notes):
    notes.execute("ALTER TABLE notes ADD whole text GENERATED ALWAYS AS (title || body) STORED")
    refused(notes, "'whole' of public.notes is generated", wanted=Wanted(columns=("whole",)))


@pytest.mark.parametrize("name", ["Notes", "", "a..b", "x" * 64])
def test_a_name_that_cannot_be_a_sources_name_is_refused(notes, name):
    refused(notes, "63 of a-z", name=name or "-")


def test_a_name_or_a_destination_that_is_taken_is_refused(notes):
    sources.register(notes, "handbook", "files", 1, {})
    refused(notes, "a source is named 'handbook'", name="handbook")
    attached(notes)
    refused(notes, "an attachment is named 'notes'")
    refused(notes, "attached already", name="again")


@pytest.fixture
def guest(notes, database):
    """A connection of a role that owns nothing."""
    notes.execute("DROP ROLE IF EXISTS guest_b3")
    notes.execute("CREATE ROLE guest_b3 LOGIN")
    notes.execute("GRANT USAGE ON SCHEMA ingestion TO guest_b3")
    notes.execute("GRANT ALL ON ALL TABLES IN SCHEMA ingestion TO guest_b3")
    with connect(make_conninfo(database, user="guest_b3")) as connection:
        yield connection
    notes.execute("DROP OWNED BY guest_b3; DROP ROLE guest_b3")


def test_rights_that_are_missing_are_named(notes, guest):
    with pytest.raises(ConfigError, match="may not SELECT, UPDATE, TRIGGER on"):
        attach(guest, REQUEST)
    notes.execute("GRANT SELECT, UPDATE, TRIGGER ON notes TO guest_b3")
    with pytest.raises(ConfigError, match="only its owner 'postgres' can add it"):
        attach(guest, REQUEST)
    notes.execute("ALTER TABLE notes ADD embedding vector(4), ADD embedding_status text")
    with pytest.raises(ConfigError, match="cannot be attached: permission denied for schema"):
        attach(guest, REQUEST)


def test_a_table_in_use_is_not_waited_for_for_ever(notes, database, monkeypatch):
    monkeypatch.setattr("ingestion_assets.store.attached.attaching.LOCK_TIMEOUT", "100ms")
    before = catalog(notes)
    with connect(database) as other, other.transaction():
        other.execute("SELECT FROM notes")
        with pytest.raises(StoreUnavailableError, match="long transaction") as caught:
            attach(notes, REQUEST)
    assert caught.value.retryable
    assert catalog(notes) == before


def test_two_attachments_of_one_table_do_not_disturb_each_other(notes, database):
    first = attached(notes)
    second = attached(
        notes, name="titles", wanted=Wanted(columns=("title",)), vector_column="title_vector",
        status_column="title_status",
    )  # fmt: skip
    assert work(queue(database, first)) == ["note: one\n\na"]
    assert work(queue(database, second)) == ["note: one"]
    notes.execute("UPDATE notes SET body = 'b'")
    assert work(queue(database, second)) == []
    detach(notes, "titles")
    assert work(queue(database, first)) == ["note: one\n\nb"]

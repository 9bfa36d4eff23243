"""The trigger that enqueues the rows of an attached table: its function, composed and installed."""

from collections.abc import Iterator

from psycopg import sql

from ingestion_assets.store.attached.attachment import Attachment
from ingestion_assets.store.attached.keys import array_type, key_of, matches
from ingestion_assets.store.attached.names import identifier
from ingestion_assets.store.attached.reading import Blocks, Columns, Expression, Title
from ingestion_assets.store.attached.rows import is_heading
from ingestion_assets.store.connection import Connection

_FUNCTION = """
CREATE FUNCTION {name}({arguments}) RETURNS {returns} LANGUAGE plpgsql {rights} AS {body}
"""
# Of who attached the table: an application that writes it needs none of ours.
_OUR_RIGHTS = "SECURITY DEFINER SET search_path = pg_catalog, pg_temp"
_PENDING = """
BEGIN
    NEW.{status} := 'pending';
    RETURN NEW;
END
"""
# The text is compared, not the statement's list of columns: another trigger may have changed it,
# and the vectors and states that the worker writes must not count as changes.
_CHANGED = """
DECLARE changed text[] := '{{}}'; gone text[] := '{{}}'; documents text[] := '{{}}';
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        gone := ARRAY(SELECT r.row_key FROM ingestion.attached_rows r
                      WHERE r.attachment = {name});
    ELSIF TG_OP = 'INSERT' THEN
        changed := ARRAY(SELECT {key} FROM new_rows r);
        {inserted}
    ELSIF TG_OP = 'DELETE' THEN
        gone := ARRAY(SELECT {key} FROM old_rows r);
        {deleted}
    ELSE
        changed := ARRAY(SELECT c.row_key FROM (
            SELECT {key} AS row_key, {watched} FROM new_rows r
            EXCEPT SELECT {key}, {watched} FROM old_rows r) c);
        gone := ARRAY(SELECT {key} FROM old_rows r EXCEPT SELECT {key} FROM new_rows r);
        {updated}
    END IF;
    IF gone <> '{{}}' THEN PERFORM ingestion.forget_attached({name}, gone); END IF;
    PERFORM ingestion.enqueue_attached({name}, changed);
    {dependent}
    RETURN NULL;
END
"""
_DOCUMENTS_OF = """
documents := ARRAY(SELECT DISTINCT {document}::text FROM {rows} r
                   WHERE {is_heading} AND {document} IS NOT NULL);
"""
_DOCUMENTS_CHANGED = """
documents := ARRAY(SELECT DISTINCT c.document FROM (
    (SELECT {key}, {document}::text AS document, {watched} FROM new_rows r WHERE {is_heading}
     EXCEPT SELECT {key}, {document}::text, {watched} FROM old_rows r WHERE {is_heading})
    UNION ALL
    (SELECT {key}, {document}::text, {watched} FROM old_rows r WHERE {is_heading}
     EXCEPT SELECT {key}, {document}::text, {watched} FROM new_rows r WHERE {is_heading})
) c WHERE c.document IS NOT NULL);
"""
# The headings of a document give one another their context.
_HEADINGS = """
DECLARE keys text[];
BEGIN
    IF documents = '{{}}' THEN RETURN; END IF;
    keys := ARRAY(SELECT {key} FROM {relation} r
                  WHERE {document} = ANY (CAST(documents AS {documents})) AND {is_heading});
    PERFORM ingestion.enqueue_attached({name}, keys);
    {pending}
END
"""
_HEADINGS_PENDING = """
UPDATE {relation} t SET {status} = 'pending' FROM unnest(keys) AS k (row_key)
WHERE {matches} AND t.{status} IS DISTINCT FROM 'pending';
"""
_RETITLED = """
BEGIN
    PERFORM {headings}(ARRAY[NEW.{key}::text]);
    RETURN NULL;
END
"""
_TRIGGER = """
CREATE TRIGGER {name} AFTER {event} ON {relation} {referencing} FOR EACH STATEMENT
EXECUTE FUNCTION {function}()
"""
_ROW_TRIGGER = """
CREATE TRIGGER {name} BEFORE {event} ON {relation} FOR EACH ROW {condition}
EXECUTE FUNCTION {function}()
"""
_TITLE_TRIGGER = """
CREATE TRIGGER {name} AFTER UPDATE OF {column} ON {relation} FOR EACH ROW
WHEN (OLD.{column} IS DISTINCT FROM NEW.{column}) EXECUTE FUNCTION {function}()
"""
EVENTS = {
    "insert": "REFERENCING NEW TABLE AS new_rows",
    "update": "REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows",
    "delete": "REFERENCING OLD TABLE AS old_rows",
    "truncate": "",
}


def install(connection: Connection, attachment: Attachment) -> None:
    """Make the triggers and their functions, in the caller's transaction."""
    blocks = _with_context(attachment)
    if blocks is not None:
        _make(connection, attachment, "_headings", _headings(attachment, blocks))
    _make(connection, attachment, "", _changed(attachment, blocks))
    for event, referencing in EVENTS.items():
        connection.execute(
            sql.SQL(_TRIGGER).format(
                name=attachment.trigger(event),
                event=sql.SQL(event),
                relation=attachment.relation,
                referencing=sql.SQL(referencing),
                function=attachment.own_function(""),
            ),
            (),
        )
    if attachment.status_column:
        _install_status(connection, attachment)
    if blocks is not None and blocks.title is not None and blocks.title.table is not None:
        _install_title(connection, attachment, blocks.title)


def _install_status(connection: Connection, attachment: Attachment) -> None:
    """Let a row say by itself that it is pending: that takes no second update of it."""
    body = sql.SQL(_PENDING).format(status=attachment.status)
    _make(connection, attachment, "_pending", body)
    changed = sql.SQL(" OR ").join(
        sql.SQL("{} IS DISTINCT FROM {}").format(old, new)
        for old, new in zip(
            [*_keys(attachment, "old"), *_watched(attachment, "old")],
            [*_keys(attachment, "new"), *_watched(attachment, "new")],
            strict=True,
        )
    )
    conditions = {"insert": sql.SQL(""), "update": sql.SQL("WHEN ({})").format(changed)}
    for event, condition in conditions.items():
        connection.execute(
            sql.SQL(_ROW_TRIGGER).format(
                name=attachment.trigger(f"{event}_pending"),
                event=sql.SQL(event),
                relation=attachment.relation,
                condition=condition,
                function=attachment.own_function("_pending"),
            ),
            (),
        )


def _install_title(connection: Connection, attachment: Attachment, title: Title) -> None:
    body = sql.SQL(_RETITLED).format(
        key=identifier(title.key or ""), headings=attachment.own_function("_headings")
    )
    _make(connection, attachment, "_title", body)
    connection.execute(
        sql.SQL(_TITLE_TRIGGER).format(
            name=attachment.trigger("title"),
            column=identifier(title.column),
            relation=identifier(title.schema or "", title.table or ""),
            function=attachment.own_function("_title"),
        ),
        (),
    )


def remove(connection: Connection, attachment: Attachment) -> None:
    """Drop the triggers and their functions, in the caller's transaction."""
    for suffix in ("", "_title", "_pending", "_headings"):
        connection.execute(
            sql.SQL("DROP FUNCTION IF EXISTS {} CASCADE").format(attachment.own_function(suffix))
        )


def watched(attachment: Attachment) -> list[str]:
    """The columns that decide the text of every row."""
    match attachment.reading:
        case Columns(names):
            return list(names)
        case Expression(_, columns):
            return list(columns)
        case Blocks() as blocks:
            return [blocks.type, blocks.content]


def _make(connection: Connection, attachment: Attachment, suffix: str, body: sql.Composed) -> None:
    """Make a function; its body goes in as a literal, whatever names are quoted in it."""
    name = attachment.own_function(suffix)
    is_called = suffix == "_headings"
    connection.execute(
        sql.SQL(_FUNCTION).format(
            name=name,
            arguments=sql.SQL("documents text[]" if is_called else ""),
            returns=sql.SQL("void" if is_called else "trigger"),
            rights=sql.SQL("" if suffix == "_pending" else _OUR_RIGHTS),
            body=sql.Literal(body.as_string(connection)),
        ),
        (),
    )
    connection.execute(sql.SQL("REVOKE ALL ON FUNCTION {} FROM PUBLIC").format(name))


def _changed(attachment: Attachment, blocks: Blocks | None) -> sql.Composed:
    dependent = sql.SQL("PERFORM {}(documents);").format(attachment.own_function("_headings"))
    return sql.SQL(_CHANGED).format(
        name=sql.Literal(attachment.name),
        key=key_of(attachment.keys, "r"),
        watched=sql.SQL(", ").join(_watched(attachment, "r")),
        inserted=_documents_of(blocks, "new_rows"),
        deleted=_documents_of(blocks, "old_rows"),
        updated=_documents_changed(attachment, blocks),
        dependent=sql.SQL("") if blocks is None else dependent,
    )


def _keys(attachment: Attachment, row: str) -> list[sql.Composed]:
    return [sql.SQL("{}::text").format(identifier(row, key.column)) for key in attachment.keys]


def _watched(attachment: Attachment, row: str) -> list[sql.Composable]:
    """What decides a row's text; where a heading stands decides its own, and no other's."""
    texts: list[sql.Composable] = [
        sql.SQL("{}::text").format(identifier(row, name)) for name in watched(attachment)
    ]
    blocks = attachment.reading
    if isinstance(blocks, Blocks):
        texts += [
            sql.SQL("CASE WHEN {} THEN {}::text END").format(
                is_heading(blocks, row), identifier(row, name)
            )
            for name in _place(blocks)
        ]
    return texts


def _place(blocks: Blocks) -> Iterator[str]:
    """The columns that say where a heading stands."""
    if blocks.document:
        yield blocks.document.column
    yield from filter(None, (blocks.position, blocks.level))
    if blocks.title and blocks.title.table is None:
        yield blocks.title.column


def _with_context(attachment: Attachment) -> Blocks | None:
    """The blocks whose headings depend on something outside of their own row."""
    reading = attachment.reading
    return reading if isinstance(reading, Blocks) and reading.document else None


def _documents_of(blocks: Blocks | None, rows: str) -> sql.Composable:
    if blocks is None or blocks.document is None:
        return sql.SQL("")
    return sql.SQL(_DOCUMENTS_OF).format(
        document=identifier("r", blocks.document.column),
        rows=identifier(rows),
        is_heading=is_heading(blocks, "r"),
    )


def _documents_changed(attachment: Attachment, blocks: Blocks | None) -> sql.Composable:
    if blocks is None or blocks.document is None:
        return sql.SQL("")
    return sql.SQL(_DOCUMENTS_CHANGED).format(
        key=key_of(attachment.keys, "r"),
        document=identifier("r", blocks.document.column),
        watched=sql.SQL(", ").join(_watched(attachment, "r")),
        is_heading=is_heading(blocks, "r"),
    )


def _headings(attachment: Attachment, blocks: Blocks) -> sql.Composed:
    if blocks.document is None:
        raise AssertionError("headings of a document, without a column that names it")
    pending: sql.Composable = sql.SQL("")
    if attachment.status_column:
        pending = sql.SQL(_HEADINGS_PENDING).format(
            relation=attachment.relation,
            status=attachment.status,
            matches=matches(attachment.keys, "t", identifier("k", "row_key")),
        )
    return sql.SQL(_HEADINGS).format(
        name=sql.Literal(attachment.name),
        key=key_of(attachment.keys, "r"),
        relation=attachment.relation,
        document=identifier("r", blocks.document.column),
        documents=array_type(blocks.document),
        is_heading=is_heading(blocks, "r"),
        pending=pending,
    )

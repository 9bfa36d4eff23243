"""An attachment taken back: the table is as it was, and nothing is left with us."""

import psycopg
from psycopg import sql

from ingestion_assets.errors import ConfigError, StoreError, StoreUnavailableError
from ingestion_assets.store.attached import triggers
from ingestion_assets.store.attached.attaching import LOCK_TIMEOUT
from ingestion_assets.store.attached.attachment import Attachment, attachments
from ingestion_assets.store.attached.names import identifier
from ingestion_assets.store.connection import Connection


def detach(connection: Connection, name: str) -> Attachment:
    """Take back what `attach` did, in one transaction; returns what was attached.

    Columns that were added go with what is in them; columns that were there before keep their
    vectors and statuses. Documents that were made of the rows are deleted.

    Raises:
        ConfigError: nothing of this name is attached.
        StoreError: something else depends on a column that was added: Postgres names it.
        StoreUnavailableError: the table was in use for too long; retryable.
    """
    found = {attached.name: attached for attached in attachments(connection)}
    if name not in found:
        raise ConfigError(
            f"no table is attached as {name!r}; attached are: {', '.join(found) or 'none'}"
        )
    try:
        with connection.transaction():
            connection.execute("SELECT set_config('lock_timeout', %s, true)", (LOCK_TIMEOUT,))
            _detach(connection, found[name])
    except psycopg.errors.LockNotAvailable as exc:
        raise StoreUnavailableError(
            f"{found[name].title} is in use by a long transaction; detach it when that has ended"
        ) from exc
    except psycopg.errors.DependentObjectsStillExist as exc:
        raise StoreError(
            f"{name!r} cannot be detached: {exc.diag.message_detail}; drop that first"
        ) from exc
    return found[name]


def _detach(connection: Connection, attached: Attachment) -> None:
    triggers.remove(connection, attached)
    if attached.table is not None:
        for column in attached.undo["columns"]:
            connection.execute(
                sql.SQL("ALTER TABLE {} DROP COLUMN IF EXISTS {}").format(
                    attached.relation, identifier(column)
                ),
                (),
            )
    if attached.vector_column is None:
        connection.execute("DELETE FROM ingestion.documents WHERE source = %s", (attached.name,))
        connection.execute("DELETE FROM ingestion.sources WHERE name = %s", (attached.name,))
    connection.execute("DELETE FROM ingestion.attachments WHERE name = %s", (attached.name,))

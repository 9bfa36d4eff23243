"""Names of somebody else's tables and columns, which may hold anything, for composing SQL."""

from psycopg import sql


def identifier(*names: str) -> sql.Identifier:
    """A quoted name for a query that is executed with parameters, if only with `()`.

    Psycopg takes a percent sign for a placeholder there, also between quotes.
    """
    return sql.Identifier(*(name.replace("%", "%%") for name in names))

"""The embedded Postgres starts anywhere, is shared, and survives what happens to it."""

import psycopg


def test_a_test_database_holds_vectors(database):
    with psycopg.connect(database) as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
        row = connection.execute("SELECT '[1,2]'::vector <-> '[1,3]'").fetchone()
    assert row == (1.0,)

"""Postgres with pgvector: the tables, and the only SQL that touches them."""

"""Filters in, a condition on a document `d` and its parameters out."""

from typing import Any

from psycopg import sql
from psycopg.types.json import Jsonb

from ingestion_assets.retrieval.request import Filters

_CONDITIONS = {
    "source": "d.source = %(source)s",
    "domain": "d.domain = %(domain)s",
    "category": "d.category = %(category)s",
    "uri_prefix": "starts_with(d.uri, %(uri_prefix)s)",
    "modified_after": "d.modified_at >= %(modified_after)s",
    "modified_before": "d.modified_at < %(modified_before)s",
}


def condition(filters: Filters) -> sql.Composed | None:
    """The condition; none where there is no filter."""
    given: list[sql.Composable] = [
        sql.SQL(test) for name, test in _CONDITIONS.items() if _given(filters, name)
    ]
    # A list contains its elements, by jsonb's own rule.
    given += [
        sql.SQL("d.metadata -> {} @> {}").format(
            sql.Placeholder(f"meta_key_{i}"), sql.Placeholder(f"meta_value_{i}")
        )
        for i in range(len(filters.metadata))
    ]
    return sql.SQL(" AND ").join(given) if given else None


def parameters(filters: Filters) -> dict[str, Any]:
    """What the condition's placeholders stand for."""
    values: dict[str, Any] = {
        name: getattr(filters, name) for name in _CONDITIONS if _given(filters, name)
    }
    for i, (key, value) in enumerate(filters.metadata.items()):
        values |= {f"meta_key_{i}": key, f"meta_value_{i}": Jsonb(value)}
    return values


def _given(filters: Filters, name: str) -> bool:
    return getattr(filters, name) is not None

"""All processes together, seen from one: what each may send to a server."""

from ingestion_assets.store.fleet.keeper import Fleet

__all__ = ["Fleet"]

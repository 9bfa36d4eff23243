"""What a Dagster instance does not see to by itself, before its runs."""

import dagster as dg

from ingestion_assets.defs.assets import EMBEDDING_POOL
from ingestion_assets.defs.lost import fail_lost_runs, fail_unbegun_runs


def see_to(instance: dg.DagsterInstance) -> None:
    """Have the pool's limit hold, and end the runs that nobody is at work on."""
    _limit_pool(instance)
    fail_lost_runs(instance)
    fail_unbegun_runs(instance)


def _limit_pool(instance: dg.DagsterInstance) -> None:
    """Dagster does not hold `default_limit` for the first runs of a pool it has not met."""
    limit = (instance.get_settings("concurrency") or {}).get("pools", {}).get("default_limit")
    storage = instance.event_log_storage
    if limit and EMBEDDING_POOL not in {pool.name for pool in storage.get_pool_limits()}:
        storage.set_concurrency_slots(EMBEDDING_POOL, limit)

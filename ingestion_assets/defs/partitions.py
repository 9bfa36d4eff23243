"""One flat set of partitions for all assets: a source and a hash bucket, `handbook/03`."""

from collections.abc import Sequence

import dagster as dg

partitions = dg.DynamicPartitionsDefinition(name="source_bucket")

_BATCH = 5000  # keys in one statement, far below the limit of parameters


def register(instance: dg.DagsterInstance, keys: Sequence[str]) -> None:
    """Add partition keys; those that exist are left alone.

    All keys of a source belong in one call: they are then neighbours, and a range of them is one
    backfill.
    """
    name = partitions.name or ""
    known = set(instance.get_dynamic_partitions(name))
    new = [key for key in keys if key not in known]
    for start in range(0, len(new), _BATCH):
        instance.add_dynamic_partitions(name, new[start : start + _BATCH])

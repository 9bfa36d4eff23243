"""A generation's canary is what came first."""

import numpy as np

from ingestion_assets.store import canary
from ingestion_assets_tests.store import rows


def test_a_new_generation_has_none(connection):
    assert canary.stored(connection, rows.generation(connection)) is None


def test_it_is_read_as_it_was_kept(connection):
    generation, other = (rows.generation(connection, model=model) for model in ("m", "n"))
    vector = rows.vector(b"canary", 384)
    canary.keep(connection, generation, vector)
    stored = canary.stored(connection, generation)
    assert stored is not None
    assert stored.dtype == np.float32
    assert np.array_equal(stored, vector)
    assert canary.stored(connection, other) is None


def test_the_first_one_stays(connection):
    generation = rows.generation(connection)
    first, second = (rows.vector(name) for name in (b"first", b"second"))
    canary.keep(connection, generation, first)
    canary.keep(connection, generation, second)
    kept = canary.stored(connection, generation)
    assert kept is not None
    assert np.array_equal(kept, first)

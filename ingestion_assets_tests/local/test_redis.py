"""The Redis of a fleet on one machine."""

import shutil

import pytest

from ingestion_assets.errors import ConfigError
from ingestion_assets.local.redis import LocalRedis, local_redis


@pytest.mark.skipif(shutil.which("redis-server") is None, reason="there is no redis-server")
def test_redis_is_shared_and_stops_with_the_last_who_uses_it(tmp_path):
    redis = LocalRedis(tmp_path, "")
    with local_redis(tmp_path) as first:
        with local_redis(tmp_path) as second:
            assert (first.started, second.started) == (True, False)
            assert first.address == second.address
        assert redis.answers(first.address)
        assert first.address.startswith("redis://127.0.0.1:")
    assert not redis.answers(first.address)


def test_missing_redis_names_the_remedy(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="apt install redis-server"):
        local_redis(tmp_path)

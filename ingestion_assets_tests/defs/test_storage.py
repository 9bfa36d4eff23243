import pytest

from ingestion_assets.defs.storage import storage_url
from ingestion_assets.errors import ConfigError


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_url_always_names_its_driver(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DAGSTER_PG_URL", raising=False)
    monkeypatch.setenv("INGESTION_DATABASE_URL", f"{scheme}://u:p@h/d?host=/s")
    assert storage_url() == "postgresql+psycopg2://u:p@h/d?host=/s"


def test_dagster_may_have_a_database_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INGESTION_DATABASE_URL", "postgresql://h/d")
    monkeypatch.setenv("DAGSTER_PG_URL", "postgresql://h/dagster")
    assert storage_url() == "postgresql+psycopg2://h/dagster"


def test_other_databases_are_refused_without_telling_the_url(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DAGSTER_PG_URL", "mysql://u:hunter2@h/d")
    with pytest.raises(ConfigError, match="postgresql://") as caught:
        storage_url()
    assert "hunter2" not in str(caught.value)

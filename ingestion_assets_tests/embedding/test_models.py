import pytest

from ingestion_assets.embedding.models import ModelFacts, model_facts


@pytest.mark.parametrize(
    "name", ["nomic-embed-text", "nomic-embed-text:v1.5", "hub/library/Nomic-Embed-Text:latest"]
)
def test_a_model_is_known_by_any_of_its_names(name: str) -> None:
    facts = model_facts(name)
    assert facts.name == name
    assert (facts.query_prefix, facts.document_prefix) == ("search_query: ", "search_document: ")
    assert (facts.dimensions, facts.context) == (768, 2048)


def test_a_similar_name_is_another_model() -> None:
    assert model_facts("nomic-embed-text-v2-moe").context == 512


def test_nothing_is_claimed_about_an_unknown_model() -> None:
    assert model_facts("my/own:1b") == ModelFacts("my/own:1b")


def test_the_instruction_of_qwen_ends_without_a_space() -> None:
    assert model_facts("qwen3-embedding:0.6b").query_prefix.endswith("\nQuery:")

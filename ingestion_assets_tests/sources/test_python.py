from dataclasses import replace

import pytest

from ingestion_assets.errors import ConfigError, SourceError
from ingestion_assets.sources import Record, Source
from ingestion_assets.sources.python import function, records


def test_a_module_beside_sources_yaml_is_found(root, calling):
    calling(None)
    (root / "beside_the_file.py").write_text("def pages():\n    return 'found'\n")
    assert function(Source("wiki", root, python="beside_the_file:pages"))() == "found"


@pytest.mark.parametrize(
    ("python", "what"),
    [
        ("no_such_module:pages", "cannot be imported .*no_such_module.* beside sources.yaml"),
        ("json:pages", "cannot be imported .*AttributeError.* beside sources.yaml"),
        ("json:__name__", "is 'json', no function; name one"),
        ("json:loads", "cannot be called .*missing.* correct `arguments`"),
    ],
)
def test_what_is_no_function_is_named_with_the_remedy(calling, python, what):
    source = replace(calling(None), python=python)
    with pytest.raises(ConfigError, match=f"'handbook': python: '{python}' {what}"):
        function(source)


def test_a_module_that_fails_is_named(root, calling):
    calling(None)
    (root / "failing_module.py").write_text("1 / 0\n")
    with pytest.raises(ConfigError, match=r"failing_module:pages.*ZeroDivisionError"):
        function(Source("wiki", root, python="failing_module:pages"))


def test_arguments_go_to_the_function_by_name(calling):
    source = calling(lambda *, space: [Record(f"{space}/a", "words")], space="ops")
    assert list(records(source)) == [Record("ops/a", "words")]


@pytest.mark.parametrize(
    ("made", "what"),
    [
        (lambda: None, "returns None"),
        (lambda: ["text"], "yields 'text'"),
        (lambda: {"uri": "a"}, "yields 'uri'"),
    ],
)
def test_what_is_no_record_is_a_configuration_error(calling, made, what):
    with pytest.raises(ConfigError, match=f"{what}; have it yield Records"):
        list(records(calling(made)))


def test_a_failure_names_source_cause_and_remedy(calling):
    def pages():
        yield Record("a", "words")
        raise OSError("connection lost")

    found = records(calling(pages))
    assert next(found) == Record("a", "words")
    with pytest.raises(
        SourceError, match=r"'handbook' failed after 1 .*OSError: connection lost.*ingest run"
    ):
        next(found)


@pytest.mark.parametrize("uri", ["", None, 5, "a\0b", "\ud800", "ö" * 1001])
def test_an_unusable_uri_costs_its_record(calling, uri):
    first, second = records(calling(lambda: [Record(uri, "words"), Record("ö" * 1000, "words")]))
    assert isinstance(first, SourceError)
    assert first.uri == "record 1"
    assert second == Record("ö" * 1000, "words")

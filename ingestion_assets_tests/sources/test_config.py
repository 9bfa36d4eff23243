import re
from pathlib import Path

import pytest

from ingestion_assets.chunks.chunking import Chunking, Kind
from ingestion_assets.documents.fields import FieldMap
from ingestion_assets.errors import ConfigError
from ingestion_assets.sources import Source, load
from ingestion_assets.sources.categories import Rule
from ingestion_assets.sources.origins import origin


@pytest.fixture
def write(tmp_path):
    def write(text):
        path = tmp_path / "sources.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def problems(path: Path) -> list[tuple[int, str]]:
    """Line and message of each problem."""
    with pytest.raises(ConfigError) as caught:
        load(path)
    lines = str(caught.value).replace(f"{path}:", "").splitlines()
    return [(int(line.split(":")[0]), line) for line in lines if line[0].isdigit()]


SOURCES = Path(__file__).parents[2] / "docs" / "sources.md"


@pytest.mark.parametrize(
    "example", re.findall(r"^```yaml\n(.*?)^```", SOURCES.read_text(), re.MULTILINE | re.DOTALL)
)
def test_every_example_of_the_documentation_is_right(write, example):
    assert all(origin(source).name for source in load(write(example)))


def test_everything_is_read(write, tmp_path):
    path = write(
        "sources:\n"
        "  - name: handbook\n    root: docs\n"
        "  - name: api.v2\n    root: ../api\n    include: ['**/*.md']\n    exclude: [drafts]\n"
        "    buckets: 16\n    domain: eng\n    category: api\n    prefix: 'search_document: '\n"
        "    metadata: {since: 2024-01-31, tags: [a, 1]}\n    max_bytes: 1000\n"
        "    fields: {text: body, title: by.name, metadata: [tags]}\n"
        "    categories:\n      - {match: '{category}/**', domain: staff}\n"
        "    chunker: {kind: page, size: 500, minimum: 20, title: true}\n"
    )
    assert load(path) == [
        Source("handbook", tmp_path.resolve() / "docs"),
        Source(
            "api.v2",
            tmp_path.resolve().parent / "api",
            include=("**/*.md",),
            exclude=("drafts",),
            buckets=16,
            domain="eng",
            category="api",
            prefix="search_document: ",
            metadata={"since": "2024-01-31", "tags": ["a", 1]},
            max_bytes=1000,
            fields=FieldMap(text=("body",), title="by.name", metadata=("tags",)),
            categories=(Rule("{category}/**", domain="staff"),),
            chunker=Chunking(Kind.PAGE, size=500, minimum=20, title=True),
        ),
    ]


def test_links_in_roots_are_resolved(write, tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    (source,) = load(write("sources: [{name: a, root: link}]"))
    assert source.root == (tmp_path / "real").resolve()


@pytest.mark.parametrize(
    ("entry", "value", "remedy"),
    [
        ("name: Hand", "'Hand'", "a-z 0-9"),
        ("name: a..b", "'a..b'", "no double dot"),
        ("name: 5", "5", "quotes"),
        ("name: " + "x" * 64, "xxx", "1 to 63"),
        ("fields: body", "'body'", "key: value"),
        ("fields: {title: a}", "fields.text", "is missing"),
        ("fields: {text: []}", "[]", "at least one"),
        ("fields: {text: [a, '']}", "''", "write a path"),
        ("fields: {text: a, id: 7}", "7", "quotes"),
        ("fields: {text: a, titel: b}", "titel", "did you mean 'title'"),
        ("buckets: 3", "3", "1, 2, 4"),
        ("buckets: 2048", "2048", "1024"),
        ("buckets: 0", "0", "1, 2, 4"),
        ("buckets: yes", "True", "whole number"),
        ("buckets: '4'", "'4'", "without quotes"),
        ("include: '*.md'", "'*.md'", "brackets"),
        ("include: []", "[]", "includes nothing"),
        ("include: [/abs]", "'/abs'", "relative to the root"),
        ("exclude: [a/../b]", "'a/../b'", "without .."),
        ("root: 5", "5", "path"),
        ("metadata: [a]", "['a']", "key: value"),
        ("metadata: {a: .nan}", "nan", "as a string"),
        ("max_bytes: 0", "0", "greater than"),
        ("bucket: 4", "bucket", "did you mean 'buckets'?"),
        ("colour: red", "colour", "known are name, root"),
        ('prefix: "a\\0b"', "'a\\x00b'", "remove it"),
        ('domain: "\\ud800"', "'\\ud800'", "remove it"),
        ("domain: ' '", "' '", "is empty"),
        ("chunker: page", "'page'", "`key: value`"),
        ("chunker: {kind: pages}", "'pages'", "'page'"),
        ("chunker: {size: 8}", "8", "greater than or equal to 16"),
        ("chunker: {size: '100'}", "'100'", "without quotes"),
        ("chunker: {size: 100, overlap: 60}", "60", "more than half of size 100"),
        ("chunker: {heading: 1}", "1", "true nor false"),
        ("chunker: {minumum: 1}", "minumum", "did you mean 'minimum'?"),
        ("categories: {match: a}", "'a'", "list"),
        ("categories: [{domain: a}]", "match", "is missing"),
        ("categories: [{match: /a, domain: a}]", "'/a'", "relative to the root"),
        ("categories: [{match: 'a/**'}]", "'a/**'", "neither domain nor category"),
        ("categories: [{match: '{team}/**'}]", "'{team}/**'", "use {domain} and {category}"),
        ("categories: [{match: '{domain}/{domain}'}]", "'{domain}/{domain}'", "twice"),
        ("categories: [{match: '{domain}/*', domain: a}]", "'domain'", "remove one"),
        ("categories: [{match: a, category: ''}]", "''", "is empty"),
        ("categories: [{match: a, categry: b}]", "categry", "did you mean 'category'?"),
    ],
)
def test_each_problem_names_line_value_and_remedy(write, entry, value, remedy):
    key = entry.split(":")[0]
    rest = "".join(f"    {k}: x\n" for k in ("name", "root") if k != key)
    ((line, message),) = problems(write(f"sources:\n  -\n{rest}    {entry}\n"))
    assert line == 3 + rest.count("\n")
    assert value in message
    assert remedy in message


def test_all_problems_come_at_once_in_order(write):
    path = write(
        "sources:\n  - name: a\n    buckets: 3\n  - name: B\n    root: x\n  - just text\nmore: 1\n"
    )
    assert [line for line, _ in problems(path)] == [2, 3, 4, 6, 7]


def test_a_missing_root_is_asked_for(write):
    ((line, message),) = problems(write("sources:\n  - name: a\n"))
    assert line == 2
    assert "sources.0.root: is missing; add it, or one of `python`, `postgres`" in message


def test_a_function_is_looked_for_beside_the_file(write, tmp_path):
    path = write("sources:\n  - {name: a, python: 'my.wiki:pages', arguments: {space: ops}}\n")
    assert load(path) == [
        Source("a", tmp_path.resolve(), python="my.wiki:pages", arguments={"space": "ops"})
    ]


@pytest.mark.parametrize(
    ("entry", "remedy"),
    [
        ("python: wiki:pages\n    root: docs", "`python` says already where documents are"),
        ("python: wiki:pages\n    include: ['*.md']", "include: belongs to `root`, `sitemap`"),
        ("root: docs\n    arguments: {a: 1}", "arguments: belongs to `python`, not to `root`"),
        ("urls: [https://a/b]\n    sitemap: https://a/s.xml", "sitemap: `urls` says already"),
        ("root: docs\n    delay: 1.0", "delay: belongs to `urls`, `sitemap`, not to `root`"),
        ("domain: x\n    sitemap: ftp://a/b", "'ftp://a/b': is no address of the web"),
        ("domain: x\n    urls: [/a]", "is no address of the web"),
        ("domain: x\n    url: https://a/b", "'https://a/b': is of the web; use `urls`"),
        ("domain: x\n    url: bucket/a", "'bucket/a': is no url of a store"),
        ("domain: x\n    python: wiki", "'wiki': names no function; write package.module:function"),
        ("domain: x\n    python: 'wiki:a b'", "names no function"),
        ("python: wiki:pages\n    arguments: [1]", "write `key: value` lines"),
    ],
)
def test_a_source_has_one_origin(write, entry, remedy):
    ((line, message),) = problems(write(f"sources:\n  - name: a\n    {entry}\n"))
    assert line == 4
    assert remedy in message


def test_the_work_tree_of_git_is_relative_to_the_file(write, tmp_path):
    (source,) = load(write("sources: [{name: a, git: repository}]"))
    assert (source.kind, source.git) == ("git", tmp_path.resolve() / "repository")


@pytest.mark.parametrize(
    ("postgres", "remedy"),
    [
        ("{query: SELECT 1}", "has both `url_env` and `url`, or none; write one"),
        ("{query: SELECT 1, url: postgresql://h/d, url_env: A}", "has both"),
        ("{url_env: A}", "query: is missing"),
        ("{url_env: A, query: ' ; '}", "asks for nothing"),
        ("{url_env: A, qery: SELECT 1, query: SELECT 1}", "did you mean 'query'?"),
        ("{url_env: A B, query: SELECT 1}", "names no variable"),
        ("{url_env: A, query: SELECT 1, timeout: 0}", "greater than 0"),
        ("SELECT 1", "write `key: value` lines"),
    ],
)
def test_a_query_has_a_database_and_a_text(write, postgres, remedy):
    ((line, message),) = problems(write(f"sources:\n  - name: a\n    postgres: {postgres}\n"))
    assert line == 3
    assert remedy in message


@pytest.mark.parametrize(
    "entry",
    [
        "postgres: {query: SELECT 1, url: 'postgresql://me:hidden@h/d'}",
        "postgres: {query: SELECT 1, url: 'postgresql://h/d?password=hidden'}",
        "postgres: {query: SELECT 1, url: 'postgresql://me:hid/den@h/d'}",
        "postgres: {query: SELECT 1, url_env: 'postgresql://me:hidden@h/d'}",
        "postgres: {query: SELECT 1, url_env: A, url: 'host=h password=hidden'}",
        "postgres: postgresql://me:hidden@h/d",
        "sitemap: https://me:hidden@host/sitemap.xml",
        "urls: ['https://me:hidden@host/']",
        "url: s3://key:hidden@bucket/prefix",
    ],
)
def test_a_password_is_refused_and_not_shown(write, entry):
    with pytest.raises(ConfigError) as caught:
        load(write(f"sources:\n  - name: a\n    {entry}\n"))
    assert "hidden" not in str(caught.value)
    assert "den@" not in str(caught.value)


def test_a_name_is_used_once(write):
    path = write("sources:\n  - {name: a, root: x}\n  - {name: a, root: y}\n")
    assert problems(path) == [
        (3, "3: source name 'a' is on line 2 already; keep one of them"),
    ]


def test_a_key_is_used_once(write):
    path = write("sources:\n  - name: a\n    root: x\n    root: y\n")
    assert problems(path) == [(4, "4: key 'root' is on line 3 already; keep one of them")]


@pytest.mark.parametrize(
    "text", ["", "# nothing\n", "[]", "5", "sources:", "sources: []", "source: []"]
)
def test_a_file_without_sources_is_an_error(write, text):
    assert problems(write(text))


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("sources:\n\t- x", ":2:1:"),
        ("a: [", ":1:5:"),
        ("a: 1\n---\nb: 2", ":2:1:"),
        ("a: !!python/object:os.system x", ":1:4:"),
        ("? [a]\n: b", ":1:3:"),
        (b"a: \xff", ":1:"),
        ('a: "\x01"', ":1:"),
    ],
)
def test_what_is_not_yaml_is_named_with_its_place(write, text, where):
    path = write(text)
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}{where} not YAML")


def test_an_alias_of_itself_ends(write):
    assert problems(write("sources: &a [*a]"))


def test_a_missing_file_says_what_to_set(tmp_path):
    with pytest.raises(ConfigError, match="INGESTION_SOURCES"):
        load(tmp_path / "sources.yaml")

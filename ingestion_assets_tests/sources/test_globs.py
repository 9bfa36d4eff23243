import pytest

from ingestion_assets.sources.globs import check, select


@pytest.mark.parametrize(
    ("pattern", "taken", "left"),
    [
        ("**/*", ["a.md", "a/b/c"], [".env", ".git/config", "a/.b/c", "x/node_modules/y"]),
        ("*.md", ["a.md"], ["a/b.md", "a.mdx", ".md"]),
        ("**/*.md", ["a.md", "a/b/c.md"], ["a.txt"]),
        ("docs/**", ["docs/a", "docs/a/b"], ["docs", "other/a", "docs/.a"]),
        ("a/**/z.md", ["a/z.md", "a/b/c/z.md"], ["b/z.md"]),
        ("a?[0-9].md", ["ab1.md"], ["a/1.md", "ab.md"]),
        ("[!a]*.md", ["b.md"], ["a.md", "a/.md"]),
        (".github/**/*.md", [".github/a.md", ".github/b/c.md"], [".github/.x/a.md"]),
        ("**/.well-known/*", ["a/.well-known/b"], ["a/.other/b"]),
        ("node_modules/*/README.md", ["node_modules/x/README.md"], ["node_modules/y"]),
        ("a[b.md", ["a[b.md"], ["ab.md"]),
        ("a+(b).md", ["a+(b).md"], ["aab.md"]),
        ("./docs//*.md", ["docs/a.md"], []),
    ],
)
def test_include(pattern, taken, left):
    selection = select([pattern], [])
    assert [uri for uri in taken if not selection.takes(uri)] == []
    assert [uri for uri in left if selection.takes(uri)] == []


@pytest.mark.parametrize(
    ("pattern", "taken", "folders"),
    [
        ("**/*.md", "a/b/c.md", ["a", "a/b"]),
        ("docs/api/*.md", "docs/api/x.md", ["docs", "docs/api"]),
        ("docs/**/*.md", "docs/a/b.md", ["docs", "docs/a", "docs/a/b"]),
        ("**/.github/*.md", "a/.github/b.md", ["a", "a/.github"]),
        ("docs/**", "docs/a/b", ["docs", "docs/a"]),
    ],
)
def test_folders_on_the_way_are_entered(pattern, taken, folders):
    selection = select([pattern], [])
    assert selection.takes(taken)
    assert all(selection.enters(folder) for folder in folders)


@pytest.mark.parametrize(
    ("pattern", "folder"),
    [
        ("*.md", "docs"),
        ("docs/*.md", "docs/api"),
        ("docs/**/*.md", "other"),
        ("**/*.md", ".git"),
        ("**/*.md", "a/node_modules"),
    ],
)
def test_other_folders_are_not_entered(pattern, folder):
    assert not select([pattern], []).enters(folder)


@pytest.mark.parametrize("pattern", ["drafts", "drafts/", "drafts/**", "**/drafts", "d*"])
def test_excluded_folders_are_not_entered(pattern):
    selection = select(["**/*"], [pattern])
    assert not selection.enters("drafts")
    assert selection.enters("other")


def test_exclude_matches_hidden_names_too():
    assert not select([".env", "*"], ["*"]).takes(".env")


@pytest.mark.parametrize("pattern", ["", "/", "/abs/*", "~/x", "../x", "a/../b", "a\\b", "[z-a]"])
def test_patterns_that_match_nothing_are_refused(pattern):
    with pytest.raises(ValueError, match=r"pattern"):
        check(pattern)

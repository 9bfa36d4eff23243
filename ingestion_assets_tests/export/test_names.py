import pytest

from ingestion_assets.export.names import NONE, is_path, names

ODD = [
    "", " ", ".", "..", "...", "/", "a/b", "a/b ", "a-b", "a\\b", "../../etc/passwd", "/etc",
    "C:\\x", "con", "NUL.txt", "com1", "a\nb", "a.", ".hidden", "_", "_manifest.json", "~", "~root",
    "-rf", "a" * 5000, "ü" * 300, "x" * 100, "x" * 101, "\u202egpj", "cafe\u0301", "café",
    "日本語", "🙂", "🙃", NONE, NONE.upper(), "HR", "hr", "Hr", "straße", "STRASSE", "ﬁ", "fi",
    "a:b", "*", "d=1", "%2e%2e",
]  # fmt: skip


@pytest.mark.parametrize(
    "value", ["people", "HR", "Human Resources", "Büro-3", "v1.2", "日本語", "7"]
)
def test_plain_names_stay_as_they_are(value: str) -> None:
    assert names([value]) == {value: value}


def test_a_missing_name_is_no_text() -> None:
    assert names([None, NONE])[None] == NONE
    assert names([None, NONE])[NONE] != NONE


def test_odd_names_keep_a_readable_rest() -> None:
    assert names(["people/hr & pay"])["people/hr & pay"].startswith("people-hr-pay~")


def test_nothing_leaves_the_folder() -> None:
    for name in names(ODD).values():
        assert is_path(f"{name}/{name}.json"), name
        assert name[0] not in "._-~ "
        assert name[-1] not in ". "
        assert len(name.encode()) <= 120
        assert not set(name) & set('/\\:*?"<>|\0\n')


def test_no_two_are_the_same_even_where_case_does_not_count() -> None:
    given = names([*ODD, None])
    assert len({name.casefold() for name in given.values()}) == len(set(ODD)) + 1


def test_a_name_depends_on_others_only_if_they_differ_by_case_alone() -> None:
    assert names(["HR", "pay"])["HR"] == "HR"
    clashing = names(["HR", "hr", "pay"])
    assert clashing["pay"] == "pay"
    assert clashing["HR"].startswith("HR~")
    assert clashing["hr"].startswith("hr~")


@pytest.mark.parametrize(
    "path", ["../a.json", "a/../b.json", "/a/b.json", "a.json", "a/b", "_a/b.json"]
)
def test_paths_that_no_export_made_are_refused(path: str) -> None:
    assert not is_path(path)

"""Only passages that exist are cited, however the words are cut into pieces."""

import pytest

from ingestion_assets.retrieval.citations import Citations

CASES = [
    ("Krill [1].", "Krill [1].", [1]),
    ("Krill [2][1].", "Krill [2][1].", [2, 1]),
    ("Krill [1, 3].", "Krill [1][3].", [1, 3]),
    ("Krill [4].", "Krill .", []),
    ("Krill [0] [1,9].", "Krill  [1].", [1]),
    ("Again [1] and [1].", "Again [1] and [1].", [1]),
    ("a[i] and [x] stay", "a[i] and [x] stay", []),
    ("It ends open [1", "It ends open [1", []),
]


@pytest.mark.parametrize(("said", "shown", "cited"), CASES)
@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_pieces_do_not_matter(said, shown, cited, size):
    citations = Citations(3)
    pieces = [said[i : i + size] for i in range(0, len(said), size)]
    text = "".join(citations.feed(piece) for piece in pieces) + citations.end()
    assert text == shown
    assert citations.cited == cited


def test_words_are_not_held_back():
    citations = Citations(3)
    assert citations.feed("Krill is eaten [") == "Krill is eaten "
    assert citations.feed("1") == ""
    assert citations.feed("]") == "[1]"

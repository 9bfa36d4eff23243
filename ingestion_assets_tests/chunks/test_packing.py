from itertools import pairwise

from ingestion_assets.chunks.cuts import Atom, Limits, Seam
from ingestion_assets.chunks.packing import pack


def atoms_of(words: list[str], seam: Seam = Seam.BLOCK, tokens: int = 10) -> tuple[str, list[Atom]]:
    """Atoms of equal weight, one for each word, and their text."""
    text = ""
    atoms: list[Atom] = []
    for word in words:
        atoms.append(Atom(len(text), len(text) + len(word), tokens, seam))
        text += word + " "
    return text, atoms


def packed(
    text: str,
    atoms: list[Atom],
    *,
    tokens: int = 100,
    characters: int = 10_000,
    overlap: int = 0,
) -> list[str]:
    spans = pack(text, atoms, Limits(tokens, characters, overlap))
    assert all(span.tokens <= tokens for span in spans)
    return [text[span.start : span.end] for span in spans]


def names(n: int) -> list[str]:
    return [f"block{i}" for i in range(n)]


def test_what_fits_is_one_chunk():
    assert packed(*atoms_of(names(10))) == [" ".join(names(10))]


def test_every_atom_is_in_one_chunk():
    chunks = packed(*atoms_of(names(500)))
    assert " ".join(chunks).split() == names(500)
    assert all(5 <= len(chunk.split()) <= 10 for chunk in chunks[:-1])


def test_ends_fall_back_into_step_after_an_insertion():
    before = set(packed(*atoms_of(names(400))))
    after = set(packed(*atoms_of([*names(3), "new", *names(400)[3:]])))
    assert len(after - before) <= 8 < len(before) // 4


def test_a_better_seam_beats_a_fuller_chunk():
    text, atoms = atoms_of(names(30), Seam.WORD)
    atoms[6] = atoms[6]._replace(seam=Seam.SENTENCE)
    assert packed(text, atoms)[0] == " ".join(names(7))


def test_pieces_of_a_block_share_no_more_than_the_overlap():
    chunks = packed(*atoms_of(names(100), Seam.WORD), overlap=25)
    for left, right in pairwise(chunks):
        shared = [word for word in right.split() if word in left.split()]
        assert left.split()[-2:] == shared


def test_overlap_starts_at_a_sentence_if_it_can():
    text, atoms = atoms_of(names(30), Seam.WORD)
    for end_of_sentence in (3, 5):
        atoms[end_of_sentence] = atoms[end_of_sentence]._replace(seam=Seam.SENTENCE)
    first, second, *_ = packed(text, atoms, overlap=40)
    assert first.split() == names(6)
    assert second.startswith("block4 block5 block6")


def test_blocks_share_nothing():
    chunks = packed(*atoms_of(names(100)), overlap=50)
    assert " ".join(chunks).split() == names(100)


def test_overlap_makes_room_for_a_large_atom():
    text, atoms = atoms_of(["a", "b", "large", "c"], Seam.WORD)
    atoms[2] = atoms[2]._replace(tokens=95)
    assert packed(text, atoms, overlap=20) == ["a b", "large", "c"]


def test_nothing_is_joined_inside_a_word():
    text, atoms = atoms_of(names(4), Seam.TOKEN)
    assert packed(text, atoms, overlap=20) == names(4)


def test_text_without_tokens_is_bounded_by_characters():
    text, atoms = atoms_of(names(100), tokens=0)
    assert all(len(chunk) <= 50 for chunk in packed(text, atoms, characters=50))


def test_nothing_packs_to_nothing():
    assert pack("", [], Limits(100, 1000, 10)) == []

from ingestion_assets.chunks.merging import merge


def groups(strengths: str, largest: int) -> list[tuple[int, int]]:
    """Items between digits; a larger digit is a weaker edge."""
    edges = [(int(digit), 0) for digit in strengths]
    return list(merge(edges, lambda first, middle, end: end - first <= largest))


def test_the_strongest_edges_are_left():
    assert groups("9191919", 2) == [(0, 2), (2, 4), (4, 6), (6, 8)]
    assert groups("99199", 3) == [(0, 3), (3, 6)]


def test_a_lone_item_is_a_group():
    assert groups("", 5) == [(0, 1)]


def test_every_item_is_in_one_group_within_the_limit():
    found = groups("31415926535897932384626433832795" * 20, 7)
    assert [item for first, end in found for item in range(first, end)] == list(range(641))
    assert all(end - first <= 7 for first, end in found)


def test_another_edge_moves_only_those_beside_it():
    strengths = "314159265358979323846264338327950288" * 20
    changed = f"{strengths[:300]}0{strengths[301:]}"
    before, after = groups(strengths, 7), groups(changed, 7)
    assert len(set(after) - set(before)) <= 3

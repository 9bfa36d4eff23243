"""Edges between neighbours in, groups of neighbours out; an edit moves only edges beside it."""

from collections.abc import Callable, Iterator, Sequence


def merge(
    edges: Sequence[tuple[int, int]], joins: Callable[[int, int, int], bool]
) -> Iterator[tuple[int, int]]:
    """Join neighbouring items into groups, over the weakest edge first.

    Whether an edge stays is decided by what is next to it, and not, as when groups are filled from
    the first to the last, by all that stands before.

    Args:
        edges: one between each item and the next; the larger, the weaker.
        joins: whether the groups `first` to `middle` and `middle` to `end` may become one.

    Yields:
        First item and end of each group, in order.
    """
    # Of the group that an item ends, its first; of the group that it begins, its end.
    first = list(range(len(edges) + 1))
    end = [at + 1 for at in first]
    for at in sorted(range(len(edges)), key=edges.__getitem__, reverse=True):
        left, right = first[at], end[at + 1]
        if joins(left, at + 1, right):
            first[right - 1], end[left] = left, right
    at = 0
    while at <= len(edges):
        yield at, end[at]
        at = end[at]

"""Heading paths in, the lines that are stored with a chunk and embedded before it out."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ingestion_assets.chunks.chunking import Chunking
from ingestion_assets.chunks.tokens import TokenCounter

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Lead:
    """What precedes the text of a chunk.

    Attributes:
        heading: the heading path in one line.
        context: what is embedded instead of it; none if it is the heading.
        tokens: of what is embedded.
    """

    heading: str
    context: str | None
    tokens: int


def leads(
    paths: Iterable[Path], title: str, rules: Chunking, counter: TokenCounter, limit: int
) -> Mapping[Path, Lead]:
    """The lead of each path; no line is longer than `limit` tokens."""
    embedded = {path: _embedded(path, title, rules) for path in paths}
    lines = _lines([*embedded, *embedded.values()], counter, limit)
    found = {}
    for path, above in embedded.items():
        heading, _ = lines[path]
        context, tokens = lines[above]
        found[path] = Lead(heading, None if context == heading else context, tokens)
    return found


def _embedded(path: Path, title: str, rules: Chunking) -> Path:
    """The title, the path, or both; a title that is the first heading too only once."""
    path = path if rules.heading else ()
    title = " ".join(title.split()) if rules.title else ""
    return (title, *path) if title and path[:1] != (title,) else path


def _lines(paths: Iterable[Path], counter: TokenCounter, limit: int) -> dict[Path, tuple[str, int]]:
    unique = list(dict.fromkeys(paths))
    lines = [" > ".join(path) for path in unique]
    return {
        path: (line, tokens) if tokens <= limit else _shortened(path, counter, limit)
        for path, line, tokens in zip(unique, lines, counter.count(lines), strict=True)
    }


def _shortened(path: Path, counter: TokenCounter, limit: int) -> tuple[str, int]:
    """The path without its first titles; at worst the beginning of the last one."""
    lines = [" > ".join(("…", *path[i:])) for i in range(1, len(path))]
    for line, tokens in zip(lines, counter.count(lines), strict=True):
        if tokens <= limit:
            return line, tokens
    cuts = [start for start, _ in counter.spans(path[-1])]
    line = path[-1][: cuts[limit - 1]].rstrip() + "…" if len(cuts) >= limit else path[-1]
    return line, counter.count([line])[0]

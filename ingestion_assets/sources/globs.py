"""Glob patterns in, a selection of files and of the folders worth entering out."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

_TOKEN = re.compile(r"\*+|\?|\[!?\]?[^\]/]*\]|.", re.S)
_WILD = re.compile(r"[*?\[]")
_BRACES = re.compile(r"\{([^{}/]*)\}")
_ESCAPED = re.compile(r"\\\{(\w+)\\\}")  # the same in a regular expression

# Names that only a pattern which spells them (or their dot) reaches.
_VISIBLE = r"(?!\.|(?:node_modules|__pycache__)(?:/|\Z))"


@dataclass(frozen=True, slots=True)
class Selection:
    """What is included and not excluded; uris are relative to the root."""

    _files: re.Pattern[str]
    _folders: re.Pattern[str]
    _excluded: re.Pattern[str]

    def takes(self, uri: str) -> bool:
        """Whether the file is selected; does not ask whether its folders are entered."""
        return bool(self._files.fullmatch(uri)) and not self._excluded.fullmatch(uri)

    def reaches(self, uri: str) -> bool:
        """Whether the file is selected, and none of its folders is left out."""
        folders = [uri[:at] for at, mark in enumerate(uri) if mark == "/"]
        return self.takes(uri) and not any(map(self._excluded.fullmatch, folders))

    def enters(self, folder: str) -> bool:
        """Whether there can be a selected file below the folder."""
        return bool(self._folders.fullmatch(f"{folder}/")) and not self._excluded.fullmatch(folder)


def select(include: Sequence[str], exclude: Sequence[str]) -> Selection:
    """Compile patterns, all relative to the root: `*` stays in one folder, `**` crosses folders.

    Wildcards of `include` do not match hidden names, node_modules and __pycache__; a pattern can
    name them. What `exclude` matches is left out with all that is below it.

    Raises:
        re.error: a malformed pattern.
    """
    included = [_segments(pattern) for pattern in include]
    excluded = [_segments(pattern.removesuffix("/**")) for pattern in exclude]
    return Selection(
        _union(_path(segments, _VISIBLE) for segments in included),
        _union(_folder(segments) for segments in included),
        _union(_path(segments, "") for segments in excluded),
    )


def check(pattern: str) -> str:
    """The pattern itself, if it can be compiled and match something.

    Raises:
        ValueError: it cannot; says what to write instead.
    """
    if not pattern.strip("/ "):
        raise ValueError("an empty pattern; write for example **/*.md")
    if pattern.startswith(("/", "~")) or ".." in pattern.split("/") or "\\" in pattern:
        raise ValueError("a pattern is relative to the root, with forward slashes and without ..")
    try:
        select([pattern], [pattern])
    except re.error as exc:
        raise ValueError(f"not a glob pattern ({exc})") from exc
    return pattern


@cache
def captured(pattern: str, names: tuple[str, ...]) -> re.Pattern[str]:
    """What a whole uri must be like; `{name}` takes over what is there, within one folder.

    Raises:
        ValueError: the pattern has another name in braces, or one twice.
    """
    for name in _BRACES.findall(pattern):
        if name not in names:
            known = " and ".join(f"{{{known}}}" for known in names)
            raise ValueError(f"{{{name}}} is not known; use {known}")
        if pattern.count(f"{{{name}}}") > 1:
            raise ValueError(f"takes {{{name}}} over twice; write * in the place of one")
    return re.compile(_ESCAPED.sub(r"(?P<\1>[^/]+)", _path(_segments(pattern), "")), re.S)


def _union(patterns: Iterable[str]) -> re.Pattern[str]:
    return re.compile("|".join(patterns) or r"(?!)", re.S)


def _segments(pattern: str) -> list[str]:
    return [segment for segment in pattern.split("/") if segment not in {"", "."}]


def _path(segments: Sequence[str], visible: str) -> str:
    *folders, last = segments
    parts = [
        f"(?:{_segment('*', visible)}/)*" if segment == "**" else f"{_segment(segment, visible)}/"
        for segment in folders
    ]
    if last == "**":
        parts.append(f"(?:{_segment('*', visible)}/)*")
    return "".join(parts) + _segment(last, visible)


def _folder(segments: Sequence[str]) -> str:
    """Matches each folder on the way to a match, and with ** each that may be."""
    fixed, wild = list(segments[:-1]), ""
    if "**" in segments:
        depth = segments.index("**")
        fixed, rest = list(segments[:depth]), segments[depth:-1]
        steps = [_segment("*", _VISIBLE), *(_segment(s, _VISIBLE) for s in rest if s != "**")]
        wild = f"(?:(?:{'|'.join(steps)})/)*"
    for segment in reversed(fixed):
        wild = f"(?:{_segment(segment, _VISIBLE)}/{wild})?"
    return wild


def _segment(segment: str, visible: str) -> str:
    if not _WILD.search(segment):
        return re.escape(segment)
    guard = "" if segment.startswith(".") else visible
    return guard + r"(?=[^/])" + "".join(map(_token, _TOKEN.findall(segment)))


def _token(token: str) -> str:
    if token.startswith("*"):
        return "[^/]*"
    if token == "?":
        return "[^/]"
    if token.startswith("[") and len(token) > 1:
        body = token[1:-1]
        negated = "^" if body.startswith("!") else ""
        names = "".join(c if c == "-" else re.escape(c) for c in body.removeprefix("!"))
        return f"(?!/)[{negated}{names}]"
    return re.escape(token)

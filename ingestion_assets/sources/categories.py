"""A document's uri and what it says itself in, its domain and category out."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, ConfigDict

from ingestion_assets.sources import globs
from ingestion_assets.sources.record import UNSTORABLE

FIELDS = ("domain", "category")


def _checked(name: str) -> str:
    if not name.strip():
        raise ValueError("is empty; give a name, or leave it out")
    return name


def _checked_match(pattern: str) -> str:
    globs.check(pattern)
    globs.captured(pattern, FIELDS)
    return pattern


Name = Annotated[str, AfterValidator(_checked)]


@dataclass(frozen=True, slots=True)
class Rule:
    """The domain and category of the documents whose uri matches.

    Attributes:
        match: a glob, in which `{domain}` and `{category}` take over a part of the path.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    match: Annotated[str, AfterValidator(_checked_match)]
    domain: Name | None = None
    category: Name | None = None

    def __post_init__(self) -> None:
        taken = globs.captured(self.match, FIELDS).groupindex
        given = {name for name in FIELDS if getattr(self, name)}
        if both := given & taken.keys():
            raise ValueError(f"has {both.pop()!r} and takes it from the path too; remove one")
        if not given and not taken:
            raise ValueError("gives neither domain nor category; add one")

    def names(self, uri: str) -> dict[str, str] | None:
        """What it says of a document; none if it does not match."""
        path = "/".join(filter(None, uri.split("/")))  # an address has two slashes in a row
        found = globs.captured(self.match, FIELDS).fullmatch(path)
        if found is None:
            return None
        given = {name: value for name in FIELDS if (value := getattr(self, name))}
        return found.groupdict() | given


def named(
    uri: str, own: Mapping[str, Any], rules: Sequence[Rule], source: Mapping[str, str | None]
) -> dict[str, str | None]:
    """Domain and category: as the document says, else the first rule that matches, else the source.

    Args:
        own: front matter, or a record's metadata; what is neither text nor number there is no name.
        source: the names that all documents of the source have.
    """
    matching = (names for rule in rules if (names := rule.names(uri)) is not None)
    by_path = next(matching, {})
    return {name: next(_names(name, own, by_path, source), None) for name in FIELDS}


def _names(name: str, *places: Mapping[str, Any]) -> Iterator[str]:
    for value in (place.get(name) for place in places):
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            text = str(value).strip()
            if text and not UNSTORABLE.search(text):
                yield text

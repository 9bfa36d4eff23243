"""A source of documents: a folder or a function, and what its documents are given."""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from hashlib import blake2b
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, ConfigDict, Field, JsonValue

from ingestion_assets import documents
from ingestion_assets.chunks.chunking import Chunking
from ingestion_assets.errors import ConfigError
from ingestion_assets.sources import globs
from ingestion_assets.sources.categories import Name, Rule, named

MOST_BUCKETS = 1024

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_MARK = 4  # bytes of a content hash that name the source's settings


def _checked_name(name: str) -> str:
    if not _NAME.fullmatch(name) or ".." in name:
        raise ValueError(
            "not a name; use 1 to 63 of a-z 0-9 . _ -, a letter or digit first, and no double dot"
        )
    return name


def _checked_buckets(buckets: int) -> int:
    if not 1 <= buckets <= MOST_BUCKETS or buckets & (buckets - 1):
        raise ValueError(f"not a power of two from 1 to {MOST_BUCKETS}; use 1, 2, 4, 8, …")
    return buckets


def _checked_json(values: dict[str, JsonValue]) -> dict[str, JsonValue]:
    try:
        json.dumps(values, allow_nan=False)
    except ValueError as exc:
        raise ValueError("holds a number that JSON has not; write it as a string") from exc
    return values


def _checked_function(python: str) -> str:
    module, _, name = python.partition(":")
    if not all(part.isidentifier() for part in [*module.split("."), name]):
        raise ValueError("names no function; write package.module:function")
    return python


def _checked_include(include: tuple[str, ...]) -> tuple[str, ...]:
    if not include:
        raise ValueError("includes nothing; write for example **/*.md, or leave it out")
    return include


_Glob = Annotated[str, AfterValidator(globs.check)]


@dataclass(frozen=True, slots=True)
class Source:
    """One entry of sources.yaml.

    Attributes:
        root: the folder, absolute and without links; of a function, where its module may be.
        include: globs relative to the root, `**` for any number of folders.
        exclude: globs; a folder that one matches is not entered.
        buckets: partitions, a power of two up to 1024.
        domain, category: of every document that does not say another, and that no rule matches.
        categories: rules that tell them by the uri; the first that matches counts.
        chunker: how its documents are split.
        prefix: the instruction to embed before each chunk, instead of the model's own.
        metadata: JSON values given to every document, under what the document says itself.
        max_bytes: larger documents are refused.
        python: the function that yields the documents, as `package.module:function`.
        arguments: what the function is called with, by name.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    name: Annotated[str, AfterValidator(_checked_name)]
    root: Path = Path()
    include: Annotated[tuple[_Glob, ...], AfterValidator(_checked_include)] = ("**/*",)
    exclude: tuple[_Glob, ...] = ()
    buckets: Annotated[int, Field(strict=True), AfterValidator(_checked_buckets)] = 1
    domain: Name | None = None
    category: Name | None = None
    categories: tuple[Rule, ...] = ()
    chunker: Chunking = field(default_factory=Chunking)
    prefix: str | None = None
    metadata: Annotated[dict[str, JsonValue], AfterValidator(_checked_json)] = field(
        default_factory=dict
    )
    max_bytes: Annotated[int, Field(strict=True, ge=1)] = 20_000_000
    python: Annotated[str, AfterValidator(_checked_function)] | None = None
    arguments: Annotated[dict[str, JsonValue], AfterValidator(_checked_json)] = field(
        default_factory=dict
    )

    @property
    def origin(self) -> str:
        """The folder or the function."""
        return self.python or str(self.root)

    def moved(self, root: Path) -> "Source":
        """The same source, read from another folder.

        Raises:
            ConfigError: it is not read from a folder.
        """
        if self.python is not None:
            raise ConfigError(
                f"source {self.name!r} is the function {self.python!r}, no folder;"
                f" it cannot be read from {str(root)!r}; leave the folder out"
            )
        return replace(self, root=root.resolve())

    def partition_keys(self) -> list[str]:
        """The keys of all its partitions, in order: `handbook/00` and so on."""
        return [self._key(bucket) for bucket in range(self.buckets)]

    def partition_key(self, uri: str) -> str:
        """The partition a document belongs to; the same for ever, while `buckets` is."""
        digest = blake2b(uri.encode(), digest_size=8).digest()
        return self._key(int.from_bytes(digest) % self.buckets)

    def names(self, uri: str, own: Mapping[str, Any]) -> dict[str, str | None]:
        """Domain and category of a document, by what it says itself, its uri, and the source."""
        common = {"domain": self.domain, "category": self.category}
        return named(uri, own, self.categories, common)

    def content_hash(self, raw: bytes) -> bytes:
        """16 bytes that change with the document, the source's settings, or the extraction."""
        settings = self._settings()
        return settings[:_MARK] + blake2b(settings + raw, digest_size=16 - _MARK).digest()

    def made(self, content_hash: bytes) -> bool:
        """Whether a content hash was made under the present settings, whatever the document."""
        return content_hash[:_MARK] == self._settings()[:_MARK]

    def _key(self, bucket: int) -> str:
        digits = max(2, len(str(self.buckets - 1)))
        return f"{self.name}/{bucket:0{digits}}"

    def _settings(self) -> bytes:
        """What a document's row and vectors owe to the source, as 16 bytes."""
        own = [documents.VERSION, self.domain, self.category, self.prefix, self.metadata]
        own += [asdict(rule) for rule in self.categories]
        own += [asdict(self.chunker)] if self.chunker != Chunking() else []
        return blake2b(json.dumps(own, sort_keys=True).encode(), digest_size=16).digest()

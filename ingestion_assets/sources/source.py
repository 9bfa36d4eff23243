"""A source of documents: where they are, and what they are given."""

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
from ingestion_assets.documents.fields import FieldMap
from ingestion_assets.errors import ConfigError
from ingestion_assets.sources import archives, globs
from ingestion_assets.sources.addresses import (
    ORIGINS,
    Query,
    check_function,
    check_page,
    check_pages,
    check_remote,
)
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


def _checked_include(include: tuple[str, ...]) -> tuple[str, ...]:
    if not include:
        raise ValueError("includes nothing; write for example **/*.md, or leave it out")
    return include


_Glob = Annotated[str, AfterValidator(globs.check)]
_Page = Annotated[str, AfterValidator(check_page)]
_KINDS = {"urls": "web", "sitemap": "web", "url": "remote", "root": "files"}


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
        fields: where the parts of a record are, in CSV, JSON and JSON Lines.
        python: the function that yields the documents, as `package.module:function`.
        arguments: what the function is called with, by name.
        postgres: the query whose rows are the documents, and its database.
        urls: addresses of the documents.
        sitemap: address of a sitemap, or of an index of sitemaps, that lists the documents.
        delay: seconds between two requests to a host, of `urls` and `sitemap`.
        git: the folder of a work tree, absolute and without links.
        url: of a folder in a store that fsspec knows, `s3://bucket/prefix`.
        every: seconds between two looks of a sensor, instead of the kind's own.
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
    fields: FieldMap | None = None
    python: Annotated[str, AfterValidator(check_function)] | None = None
    arguments: Annotated[dict[str, JsonValue], AfterValidator(_checked_json)] = field(
        default_factory=dict
    )
    postgres: Query | None = None
    urls: Annotated[tuple[_Page, ...], AfterValidator(check_pages)] | None = None
    sitemap: _Page | None = None
    delay: Annotated[float, Field(strict=True, ge=0, le=3600)] = 1.0
    git: Path | None = None
    url: Annotated[str, AfterValidator(check_remote)] | None = None
    every: Annotated[float, Field(strict=True, ge=1)] | None = None

    @property
    def kind(self) -> str:
        """Where its documents come from: `files`, `python`, `postgres`, `web`, `git`, `remote`."""
        key = next((key for key in ORIGINS if key != "root" and getattr(self, key)), "root")
        return _KINDS.get(key, key)

    def moved(self, root: Path) -> "Source":
        """The same source, read from another folder.

        Raises:
            ConfigError: it is not read from a folder.
        """
        if self.kind != "files":
            raise ConfigError(
                f"source {self.name!r} is of the kind {self.kind!r}, no folder;"
                f" it cannot be read from {str(root)!r}; leave the folder out"
            )
        return replace(self, root=root.resolve())

    def settings(self) -> dict[str, JsonValue]:
        """All settings as JSON has them; there is no secret among them."""
        plain: dict[str, JsonValue] = json.loads(json.dumps(asdict(self), default=str))
        return plain

    def partition_keys(self) -> list[str]:
        """The keys of all its partitions, in order: `handbook/00` and so on."""
        return [self._key(bucket) for bucket in range(self.buckets)]

    def partition_key(self, uri: str) -> str:
        """The partition a document belongs to; the same for ever, while `buckets` is.

        All members of an archive belong to that of the archive.
        """
        digest = blake2b(archives.owner(uri).encode(), digest_size=8).digest()
        return self._key(int.from_bytes(digest) % self.buckets)

    def names(self, uri: str, own: Mapping[str, Any]) -> dict[str, str | None]:
        """Domain and category of a document, by what it says itself, its uri, and the source."""
        common = {"domain": self.domain, "category": self.category}
        return named(uri, own, self.categories, common)

    def content_hash(self, raw: bytes) -> bytes:
        """16 bytes that change with the document, the source's settings, or the extraction."""
        mark = self._mark()
        return mark[:_MARK] + blake2b(mark + raw, digest_size=16 - _MARK).digest()

    def made(self, content_hash: bytes) -> bool:
        """Whether a content hash was made under the present settings, whatever the document."""
        return content_hash[:_MARK] == self._mark()[:_MARK]

    def _key(self, bucket: int) -> str:
        digits = max(2, len(str(self.buckets - 1)))
        return f"{self.name}/{bucket:0{digits}}"

    def _mark(self) -> bytes:
        """What a document's row and vectors owe to the source, as 16 bytes."""
        own = [documents.VERSION, self.domain, self.category, self.prefix, self.metadata]
        own += [asdict(self.fields)] if self.fields else []
        own += [asdict(rule) for rule in self.categories]
        own += [asdict(self.chunker)] if self.chunker != Chunking() else []
        return blake2b(json.dumps(own, sort_keys=True).encode(), digest_size=16).digest()

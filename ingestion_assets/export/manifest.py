"""What an export has written, kept beside it: so that the next one writes only what changed."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Self

import orjson

from ingestion_assets.errors import ConfigError
from ingestion_assets.export.names import is_path

MANIFEST = "_manifest.json"  # no name begins with _, and tools that read folders pass it over

_MAKER = "ingestion-assets collections 1"


@dataclass(frozen=True, slots=True)
class Entry:
    """One file.

    Attributes:
        path: below the export's folder.
        fingerprint: of what is in it; empty while it is being replaced.
    """

    path: str
    domain: str | None
    category: str | None
    chunks: int
    bytes: int
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """All files of an export, by path, and the sources that it is of; all if none is named."""

    files: dict[str, Entry]
    sources: tuple[str, ...] = ()

    @classmethod
    def of(cls, entries: Iterable[Entry], sources: Iterable[str]) -> Self:
        """The manifest of some files."""
        return cls({entry.path: entry for entry in entries}, tuple(sorted(sources)))

    @classmethod
    def read(cls, content: bytes, where: str) -> Self:
        """Read what `content` wrote.

        Raises:
            ConfigError: it is not an export's: then nothing there is ours to replace or remove.
        """
        try:
            found: dict[str, Any] = orjson.loads(content)
            entries = [Entry(**entry) for entry in found["files"]]
            if found["made_by"] != _MAKER or not all(is_path(entry.path) for entry in entries):
                raise ValueError(found["made_by"])
            return cls.of(entries, found["sources"])
        except (ValueError, KeyError, TypeError, AttributeError) as exc:
            raise ConfigError(
                f"{where}/{MANIFEST} was not written by this version of `ingest export`: choose"
                " another folder, or delete that file and what it lists"
            ) from exc

    def content(self) -> bytes:
        """As JSON, to be read by people and tools as well."""
        files = [asdict(self.files[path]) for path in sorted(self.files)]
        document = {"made_by": _MAKER, "sources": self.sources, "files": files}
        return orjson.dumps(document, option=orjson.OPT_INDENT_2)

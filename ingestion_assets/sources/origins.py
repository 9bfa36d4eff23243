"""A source in, its origin out: the one place that tells the kinds apart."""

from collections.abc import Callable, Mapping

from ingestion_assets.sources.files import Folder
from ingestion_assets.sources.git import WorkTree
from ingestion_assets.sources.origin import Origin
from ingestion_assets.sources.postgres import Rows
from ingestion_assets.sources.python import Function
from ingestion_assets.sources.remote import Store
from ingestion_assets.sources.source import Source
from ingestion_assets.sources.web.site import Site

_KINDS: Mapping[str, Callable[[Source], Origin]] = {
    "files": Folder,
    "python": Function,
    "postgres": Rows,
    "web": Site,
    "git": WorkTree,
    "remote": Store,
}


def origin(source: Source) -> Origin:
    """Where the source's documents come from; nothing is opened yet."""
    return _KINDS[source.kind](source)

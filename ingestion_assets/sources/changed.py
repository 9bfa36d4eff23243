"""A document that is to be stored, on its way through the extraction."""

from dataclasses import dataclass
from datetime import datetime

from ingestion_assets.documents.document import Document, Extract, document_id
from ingestion_assets.documents.fields import FieldMap
from ingestion_assets.documents.processes import Raw
from ingestion_assets.sources.record import Record
from ingestion_assets.sources.source import Source


@dataclass(frozen=True, slots=True)
class Changed:
    """A document whose content, time or settings are not as they are stored.

    Attributes:
        size: of the file, in bytes; for a member of an archive, of the archive.
        read_at: just before it was read.
        is_same: only its time is another.
    """

    record: Record
    content_hash: bytes
    size: int
    read_at: datetime
    is_new: bool
    is_same: bool

    def raw(self, fields: FieldMap | None) -> Raw:
        """What is to be extracted."""
        return Raw(self.record.uri, self.record.raw(), self.record.media_type, fields)

    def document(self, source: Source, partition_key: str, extract: Extract) -> Document:
        """What is to be stored."""
        record = self.record
        own = {**extract.metadata, **record.metadata, **record.provenance}
        return Document(
            document_id=document_id(source.name, record.uri),
            source=source.name,
            partition_key=partition_key,
            uri=record.uri,
            media_type=extract.media_type,
            title=record.title or extract.title,
            text=extract.text,
            content_hash=self.content_hash,
            metadata={**source.metadata, **own},
            **source.names(record.uri, own),
            bytes=self.size,
            modified_at=record.modified_at or self.read_at,
            ingested_at=self.read_at,
        )

"""What became of the documents of a partition."""

from dataclasses import dataclass


@dataclass(slots=True)
class Counts:
    """What became of a partition's files, or of the records of a function.

    Attributes:
        seen: files found: the sum of new, changed, touched, unchanged, failed and skipped, but for
            failed folders and for files that vanished again. The members of an archive count, and
            the archive itself only if it failed.
        touched: same content, another time stamp.
        skipped: content that is not text, and never was.
        bytes_read: of records, and of files whose time stamp or size did not tell that they are
            unchanged.
    """

    seen: int = 0
    new: int = 0
    changed: int = 0
    touched: int = 0
    unchanged: int = 0
    gone: int = 0
    failed: int = 0
    skipped: int = 0
    bytes_read: int = 0


@dataclass(frozen=True, slots=True)
class Failure:
    """A file, a folder (with a slash at the end) or a record that could not be read, and why."""

    uri: str
    error_class: str
    message: str

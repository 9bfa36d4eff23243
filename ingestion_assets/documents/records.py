"""Records in, one paragraph of `name: value` lines for each out; and such a text's blocks."""

import re
from collections.abc import Iterable

from ingestion_assets.documents.document import Block, BlockKind
from ingestion_assets.documents.marks import Marks

_HEADING = re.compile(r"(#{1,6}) (.*)")


def rendered(pairs: Iterable[tuple[str, str]]) -> str:
    """One record: a line for each value, those of several lines indented below the first.

    A value that is blank is left out, and so is the name of one without.
    """
    lines = (_line(name, value) for name, value in pairs)
    text = "\n".join(line for line in lines if line)
    return "\\" + text if text.startswith("#") else text


def joined(records: Iterable[str]) -> str:
    """The text of rendered records, and of headings above them: `# Title`."""
    return "\n\n".join(filter(None, records))


def blocks(text: str) -> list[Block]:
    """One block for each record and heading of a joined text."""
    marks = Marks(text)
    for first, end in marks.paragraphs():
        heading = _HEADING.fullmatch(marks.lines[first]) if first + 1 == end else None
        if heading:
            level, title = len(heading[1]), heading[2]
            marks.mark(BlockKind.HEADING, first, end, level=level, title=title)
        else:
            marks.mark(BlockKind.RECORD, first, end)
    return marks.blocks()


def _line(name: str, value: str) -> str:
    if "\n" not in value:
        value = value.strip()
        return f"{name}: {value}" if name and value else value
    lines = [line.rstrip() for line in value.split("\n") if line.strip()]
    if not name:
        return "\n".join(lines)
    return f"{name}: " + "\n  ".join([lines[0].strip(), *lines[1:]]) if lines else ""

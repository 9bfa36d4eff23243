r"""CSV and TSV in, their rows as records out.

A scanner of our own, as quick as its loop: `csv` gives the rest of the file to a quote that nobody
closed, its sniffer takes minutes on some texts, and its limit on a value is one for the process.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import zip_longest

from ingestion_assets.documents import fields as field_map
from ingestion_assets.documents import records
from ingestion_assets.documents.document import Reading
from ingestion_assets.documents.fields import FieldMap

_DELIMITERS = "\t;|,"  # the rarer in prose, the earlier
_SAMPLE = 65_536  # characters
_SAMPLE_ROWS = 1000
_SAMPLE_COLUMNS = 200
_LONGEST_NAME = 100  # characters of a column's name
_LONGEST_NUMBER = 40
_SAID = re.compile(r"sep=(.)\n", re.I)  # Excel's first line
_NUMBER = re.compile(r"[-+]?[\d.,:/ -]*\d[\d.,:/% -]*(?:[eE][-+]?\d+)?")


def read(text: str, fields: FieldMap | None = None) -> Reading:
    """Every row as a record, its values named by the header, or `column 1` and so on.

    `metadata` has the number of `rows` and, if there are any, of `ragged_rows`: those with more or
    fewer values than the header.

    Raises:
        ValueError: no row has a text where `fields` says.
    """
    said = _SAID.match(text)
    start = said.end() if said else 0
    delimiter = said[1] if said else _delimiter(text[:_SAMPLE])
    found = [row for row in _rows(text, delimiter, start) if any(map(str.strip, row))]
    header = found.pop(0) if _has_header(found[:_SAMPLE_ROWS]) else []
    width = len(header) or _usual_width(found)
    ragged = sum(len(row) != width for row in found)
    metadata = {"rows": len(found), **({"ragged_rows": ragged} if ragged else {})}
    names = _names(header, max(map(len, found), default=width))
    if fields:
        mapped = field_map.reading([dict(zip(names, row, strict=False)) for row in found], fields)
        return Reading(mapped.text, mapped.title, {**mapped.metadata, **metadata})
    named = (records.rendered(zip(names, row, strict=False)) for row in found)
    return Reading(records.joined(named), metadata=metadata)


def _rows(text: str, delimiter: str, start: int = 0) -> Iterator[list[str]]:
    row: list[str] = []
    for value in _value(delimiter).finditer(text, start):
        quoted, plain, end = value.groups()
        row.append(plain if quoted is None else quoted.replace('""', '"'))
        if end != delimiter:
            yield row
            row = []
            if value.end() == len(text):
                return


@cache
def _value(delimiter: str) -> re.Pattern[str]:
    """A value and what ends it. A quote counts only where it is closed at another value's edge."""
    edge = re.escape(delimiter)
    return re.compile(rf'(?: *+"((?:[^"]++|"")*+)" *+|([^{edge}\n]*+))({edge}|\n|\Z)')


def _delimiter(sample: str) -> str:
    """The one by which most rows have the same number of values, more than one."""
    return max(_DELIMITERS, key=lambda delimiter: _evenness(sample, delimiter))


def _evenness(sample: str, delimiter: str) -> float:
    if delimiter not in sample:
        return 0
    rows = [row for row in _rows(sample, delimiter) if row != [""]]
    width = _usual_width(rows)
    return sum(len(row) == width for row in rows) / len(rows) if width > 1 else 0


def _usual_width(rows: Sequence[Sequence[str]]) -> int:
    widths = Counter(map(len, rows[:_SAMPLE_ROWS]))
    return widths.most_common(1)[0][0] if widths else 0


def _has_header(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first row names the columns.

    Its names must differ and be short. A column of numbers under a word says yes, one under a
    number says no; where all is words, the first row is taken for a header.
    """
    if len(rows) < 2:
        return False
    names = [name.strip() for name in rows[0]]
    given = [name for name in names if name]
    if len(set(given)) < len(given) or any(len(name) > _LONGEST_NAME for name in given):
        return False
    columns = zip_longest(*(row[:_SAMPLE_COLUMNS] for row in rows[1:]), fillvalue="")
    numbers = [name for name, column in zip(names, columns, strict=False) if _is_numeric(column)]
    words = sum(not _is_number(name) for name in numbers)
    return words >= len(numbers) - words


def _is_numeric(column: Sequence[str]) -> bool:
    values = [value.strip() for value in column if value.strip()]
    return bool(values) and sum(map(_is_number, values)) > len(values) * 0.9


def _is_number(value: str) -> bool:
    return len(value) <= _LONGEST_NUMBER and _NUMBER.fullmatch(value) is not None


def _names(header: Sequence[str], width: int) -> list[str]:
    names = [" ".join(name.split()) for name in header[:width]]
    names += [""] * (width - len(names))
    return [name or f"column {number}" for number, name in enumerate(names, 1)]

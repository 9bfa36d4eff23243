"""JSON and JSON Lines in, their records as text out."""

import json
import math
import re
from collections.abc import Sequence
from typing import Any

from ingestion_assets.documents import fields as field_map
from ingestion_assets.documents.decoding import storable
from ingestion_assets.documents.document import Reading
from ingestion_assets.documents.fields import FieldMap
from ingestion_assets.documents.structured.flat import is_too_deep

_MOST_NAMED = 20  # broken lines

# NaN and the infinities are no JSON, but Python and others write them.
_DECODER = json.JSONDecoder(parse_constant=str, strict=False)
_BLANK = re.compile(r"\s*")


def read(text: str, fields: FieldMap | None = None) -> Reading:
    """The records of a JSON text: the elements of its array, or the one value.

    An object around a single array of objects stands for that array; what else is in it is a
    record before them. Several values one after the other are read as JSON Lines.

    Raises:
        ValueError: not JSON, nested too deep, or without a text where `fields` says.
        RecursionError: nested far too deep.
    """
    start = _end_of_blanks(text, 0)
    if start == len(text):
        return Reading("")
    value, end = _DECODER.raw_decode(text, start)
    if _end_of_blanks(text, end) < len(text):
        return read_lines(text, fields)
    return field_map.reading(_records(_storable(value), fields), fields)


def read_lines(text: str, fields: FieldMap | None = None) -> Reading:
    """The records of JSON Lines.

    Lines that are broken are left out; `metadata` has their number as `broken_lines`, and that of
    the first twenty of them, counted from 1, as `broken_line_numbers`.

    Raises:
        ValueError: all lines are broken, or no record has a text where `fields` says.
    """
    values: list[Any] = []
    broken: list[int] = []
    reason = ""
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                values.append(_storable(_DECODER.decode(line)))
            except (ValueError, RecursionError) as exc:
                reason = reason or f"line {number}: {exc}"
                broken.append(number)
    if broken and not values:
        raise ValueError(f"no line holds a value of its own; {reason}")
    said = {"broken_lines": len(broken), "broken_line_numbers": broken[:_MOST_NAMED]}
    reading = field_map.reading(values, fields)
    metadata = {**reading.metadata, **(said if broken else {})}
    return Reading(reading.text, reading.title, metadata)


def _end_of_blanks(text: str, at: int) -> int:
    blanks = _BLANK.match(text, at)
    return blanks.end() if blanks else at


def _records(value: Any, fields: FieldMap | None) -> Sequence[Any]:
    if isinstance(value, list):
        return value
    if not isinstance(value, dict) or (fields and _has_text(value, fields)):
        return [value]
    lists = [key for key, child in value.items() if _holds_records(child)]
    if len(lists) != 1:
        return [value]
    inner = value.pop(lists[0])
    return [value, *inner] if value and not fields else inner


def _has_text(value: Any, fields: FieldMap) -> bool:
    return any(field_map.find(value, path) is not None for path in fields.text)


def _holds_records(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(v, dict) for v in value)


def _storable(value: Any) -> Any:
    if is_too_deep(value):
        raise ValueError("nested deeper than 100 levels")
    return _cleaned(value)


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, list):
        return [_cleaned(child) for child in value]
    if isinstance(value, dict):
        return {storable(key): _cleaned(child) for key, child in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value

"""The bytes of a workbook (XLSX, XLS, ODS) in, its rows as records out."""

import io
from collections.abc import Iterator, Sequence
from datetime import datetime, time
from typing import Any

import python_calamine as calamine

from ingestion_assets.documents.document import UnreadableError
from ingestion_assets.documents.records import joined, rendered

_HEADERS_WITHIN = 10  # rows


def read(raw: bytes) -> tuple[str, str, dict[str, Any]]:
    """Every sheet with a heading, every row under it as a record; formulas by their last result.

    The headers are the first row that fills the sheet's columns; rows above it, a title mostly, are
    records without headers. Hidden sheets are left out, and counted.

    Raises:
        UnreadableError: encrypted, broken, or without a filled cell.
    """
    try:
        return _read(raw)
    except calamine.PasswordError as exc:
        raise UnreadableError("the workbook is encrypted; save it without a password") from exc
    except BaseException as exc:
        # A panic in calamine's Rust arrives as an exception that is no Exception, of a hidden type.
        if type(exc).__name__ != "PanicException":
            raise
        raise UnreadableError(f"the workbook is broken ({exc}); repair it") from exc


def _read(raw: bytes) -> tuple[str, str, dict[str, Any]]:
    workbook = calamine.load_workbook(io.BytesIO(raw))
    shown = [
        sheet.name
        for sheet in workbook.sheets_metadata
        if sheet.visible == calamine.SheetVisibleEnum.Visible
        and sheet.typ == calamine.SheetTypeEnum.WorkSheet
    ]
    sheets = [part for name in shown for part in _sheet(name, workbook)]
    if not sheets:
        raise UnreadableError("the workbook has no filled cell in a visible sheet; exclude it")
    hidden = len(workbook.sheet_names) - len(shown)
    return joined(sheets), "", {"sheets": len(shown), "hidden_sheets": hidden}


def _sheet(name: str, workbook: calamine.CalamineWorkbook) -> Iterator[str]:
    rows = [[_text(cell) for cell in row] for row in workbook.get_sheet_by_name(name).iter_rows()]
    rows = [row for row in rows if any(row)]
    if not rows:
        return
    yield f"# {' '.join(name.split())}"
    head = _head(rows)
    bare = [""] * len(rows[0])
    for row in rows[:head]:
        yield _record(bare, row)
    headers = [" ".join(cell.split()) for cell in rows[head]]
    below = rows[head + 1 :]
    yield from (_record(headers, row) for row in below) if below else [_record(bare, rows[head])]


def _record(headers: Sequence[str], row: Sequence[str]) -> str:
    return rendered(zip(headers, (" ".join(cell.split()) for cell in row), strict=True))


def _head(rows: Sequence[Sequence[str]]) -> int:
    """Index of the headers: the first of the rows that have the most cells filled."""
    filled = [sum(map(bool, row)) for row in rows[:_HEADERS_WITHIN]]
    return filled.index(max(filled))


def _text(cell: Any) -> str:
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    if isinstance(cell, datetime) and cell.time() == time():
        return cell.date().isoformat()
    return str(cell)

"""The content of a table block in, one line for each row out."""

from collections.abc import Sequence
from typing import Any

from ingestion_assets.documents.structured.flat import flat

_HEADERS = ("header", "headers", "columns", "head")
_ROWS = ("rows", "content", "data", "body", "cells")


def table_text(content: Any) -> str:
    """One line for each row, the header repeated in it: `Name: Ada; Born: 1815`."""
    if isinstance(content, str):
        if not content.lstrip().startswith("|"):
            return content
        content = _markdown(content)
    header, rows = _header_and_rows(content)
    return "\n".join(filter(None, (_line(header, row) for row in rows))) or "; ".join(header)


def _header_and_rows(content: Any) -> tuple[list[str], list[list[str]]]:
    given: Any = []
    rows: Any = content
    has_header = True
    if isinstance(content, dict):
        given = next(
            (content[name] for name in _HEADERS if isinstance(content.get(name), list)), []
        )
        rows = next((content[name] for name in _ROWS if isinstance(content.get(name), list)), [])
        has_header = content.get("withHeadings") is not False
    if not isinstance(rows, list):
        return [], [[flat(rows)]]
    if rows and isinstance(rows[0], dict) and not _cells_of(rows[0]):
        header = [_cell(name) for name in given] or list(dict.fromkeys(n for r in rows for n in r))
        return header, [[_cell(row.get(name)) for name in header] for row in rows]
    lines = [[_cell(cell) for cell in _cells_of(row)] for row in rows]
    if given:
        return [_cell(name) for name in given], lines
    return (lines[0], lines[1:]) if has_header and len(lines) > 1 else ([], lines)


def _cells_of(row: Any) -> list[Any]:
    if isinstance(row, dict):
        row = next(
            (row[name] for name in ("cells", "content") if isinstance(row.get(name), list)), []
        )
        return list(row)
    return row if isinstance(row, list) else [row]


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict) and isinstance(value.get("name"), str):
        return str(value["name"])
    return " ".join(flat(value).split())


def _line(header: Sequence[str], row: Sequence[str]) -> str:
    names = [*header, *[""] * (len(row) - len(header))]
    return "; ".join(
        f"{name}: {cell}" if name else cell for name, cell in zip(names, row, strict=False) if cell
    )


def _markdown(text: str) -> list[list[str]]:
    """Rows of a Markdown table, without the line of dashes."""
    rows = [line.strip().strip("|").split("|") for line in text.splitlines() if line.strip()]
    return [[c.strip() for c in row] for row in rows if set("".join(row)) - set(" :-")]

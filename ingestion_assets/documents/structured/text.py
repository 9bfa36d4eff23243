"""A block's type and content in, the text to embed out."""

import re
from collections.abc import Sequence
from typing import Any

from ingestion_assets.documents.structured.flat import flat, is_too_deep, parsed
from ingestion_assets.documents.structured.kinds import Kind, kind
from ingestion_assets.documents.structured.lists import list_text
from ingestion_assets.documents.structured.tables import table_text

_MARKS = re.compile(r"^(#{1,6})\s+")
_DIGIT = re.compile(r"[1-6]$")
_LANGUAGES = ("language", "lang", "mode", "syntax")
_CODE = ("code", "text", "content", "source", "value")


def block_text(block_type: str, content: Any, context: Sequence[str] = ()) -> str:
    """The text of a block; empty if there is nothing to embed in it.

    Args:
        block_type: as the editor names it: `paragraph`, `heading_2`, `bulletList`, `code` …
        content: text, or what JSON holds, up to 100 levels deep: the shapes of Editor.js,
            ProseMirror and Notion are understood, and plain objects with `text`, `items`, `rows`,
            `code`.
        context: a heading's surroundings, from the outside in: its document's title and the
            headings above it.
    """
    found, given, content = kind(block_type), content, parsed(content)
    if found is Kind.SKIPPED or is_too_deep(content) or _says(content) == "mermaid":
        return ""
    if found is Kind.HEADING:
        own = plain_text(content)
        return " > ".join([*filter(None, context), own]) if own else ""
    if found is Kind.CODE:
        named = isinstance(content, dict) and content.keys() & set(_CODE)
        return _code(content if named else given)
    if found is Kind.LIST:
        return list_text(content).rstrip()
    return table_text(content).strip() if found is Kind.TABLE else plain_text(content)


def plain_text(content: Any) -> str:
    """All text in a value, without the marks of a Markdown heading."""
    content = parsed(content)
    if is_too_deep(content):
        return ""
    if isinstance(content, str):
        return _MARKS.sub("", content.strip())
    return _MARKS.sub("", flat(content).strip())


def heading_level(block_type: str, content: Any, column: int | None = None) -> int:
    """How deep a heading is, from 1 to 6.

    A column says it, or the content's `level`, or the type's last digit, or Markdown's marks.
    """
    content = parsed(content)
    level: Any = column
    if level is None and isinstance(content, dict):
        level = content.get("level")
    if level is None and (digit := _DIGIT.search(block_type)):
        level = digit.group()
    if level is None and isinstance(content, str) and (marks := _MARKS.match(content.strip())):
        level = len(marks.group(1))
    try:
        return min(max(int(level or 1), 1), 6)
    except (TypeError, ValueError):
        return 1


def _says(content: Any) -> str:
    """The language a block of code is in."""
    if not isinstance(content, dict):
        return ""
    named = next((content[name] for name in _LANGUAGES if content.get(name)), "")
    return named.strip().lower() if isinstance(named, str) else ""


def _code(content: Any) -> str:
    """Fenced as in Markdown, which tells its language."""
    body: Any = content
    if isinstance(content, dict):
        body = next((content[name] for name in _CODE if content.get(name)), "")
    code = (body if isinstance(body, str) else flat(body)).strip("\n").rstrip()
    if not code or code.startswith("```"):
        return "" if code.startswith("```mermaid") else code
    return f"```{_says(content)}\n{code}\n```"

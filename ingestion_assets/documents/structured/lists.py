"""The content of a list block in, its items as lines out."""

from collections.abc import Iterator
from typing import Any

from ingestion_assets.documents.structured.flat import flat

_ITEMS = ("items", "children", "content")
_OWN = ("text", "content", "rich_text", "title", "value", "label")


def list_text(content: Any) -> str:
    """One line for each item, nested ones indented by two blanks a level."""
    if isinstance(content, str):
        return content
    return "\n".join(f"{'  ' * depth}- {text}" for depth, text in _items(content, 0) if text)


def _items(node: Any, depth: int) -> Iterator[tuple[int, str]]:
    """Items of a list: of a JSON list, or of the object that holds one."""
    if isinstance(node, dict):
        own = next((node[name] for name in _ITEMS if isinstance(node.get(name), list)), None)
        node = [node] if own is None else own
    for item in node if isinstance(node, list) else [node]:
        yield from _item(item, depth)


def _item(item: Any, depth: int) -> Iterator[tuple[int, str]]:
    if isinstance(item, list):
        yield from _items(item, depth + 1)
        return
    if not isinstance(item, dict):
        yield depth, _line(item)
        return
    nested = [item[name] for name in ("items", "children") if isinstance(item.get(name), list)]
    if isinstance(content := item.get("content"), list):
        # ProseMirror: an item's paragraphs and its nested lists stand side by side.
        nested += [node for node in content if _is_list(node)]
        yield depth, _line([node for node in content if not _is_list(node)])
    else:
        yield depth, _line(next((item[name] for name in _OWN if item.get(name)), None))
    for inner in nested:
        yield from _items(inner, depth + 1)


def _is_list(node: Any) -> bool:
    return isinstance(node, dict) and str(node.get("type", "")).lower().endswith("list")


def _line(node: Any) -> str:
    return " ".join(flat(node).split())

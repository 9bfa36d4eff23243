"""A JSON value of any block editor in, the text in it out."""

import html
import re
from typing import Any

import orjson

# In the order in which they are read.
_TEXT_KEYS = (
    "title", "text", "plain_text", "rich_text", "content", "message", "body", "value", "items",
    "children", "rows", "code", "caption",
)  # fmt: skip
_WRAPPERS = ("data", "attrs")
_INLINE_TYPES = ("text", "mention", "emoji", "equation")
_DEEPEST = 100  # levels
_BREAKS = ("hardBreak", "hard_break")
_TAG = re.compile(r"</?(?:b|i|u|s|a|em|strong|mark|code|span|sub|sup|small)(?:\s[^<>]*)?>", re.I)
_BREAK_TAG = re.compile(r"<br\s*/?>", re.I)


def parsed(content: Any) -> Any:
    """The content as JSON says it: a text that holds a block editor's JSON is parsed.

    What an editor wraps in `data` or `attrs` is laid beside the rest.
    """
    if isinstance(content, str) and content.lstrip()[:1] in ("{", "["):
        content = _decoded(content)
    if isinstance(content, dict):
        for wrapper in _WRAPPERS:
            if isinstance(content.get(wrapper), dict):
                content = {**content, **content[wrapper]}
    return content


def is_too_deep(content: Any) -> bool:
    """Whether a value is nested deeper than anything that people write."""
    level = [content]
    for _ in range(_DEEPEST):
        inner = [
            node.values() if isinstance(node, dict) else node
            for node in level
            if isinstance(node, (dict, list))
        ]
        if not inner:
            return False
        level = [child for children in inner for child in children]
    return True


def flat(node: Any) -> str:
    """All text below a node: pieces of one line are joined, blocks are lines of their own."""
    if isinstance(node, str):
        return _unmarked(node)
    if isinstance(node, bool) or node is None:
        return ""
    if isinstance(node, (int, float)):
        return str(node)
    if isinstance(node, list):
        between = "" if any(map(_is_inline, node)) else "\n"
        return between.join(filter(None, map(flat, node)))
    if node.get("type") in _BREAKS:
        return "\n"
    parts = (flat(node[name]) for name in _TEXT_KEYS if name in node)
    return "\n".join(part for part in parts if part)


def _decoded(text: str) -> Any:
    """What a text holds as JSON; the text itself if that is no editor's, but someone's example."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
    if isinstance(value, dict) and value:
        return value if value.keys() & {*_TEXT_KEYS, *_WRAPPERS} else text
    is_content = not value or any(isinstance(node, (dict, list, str)) for node in value)
    return value if is_content else text


def _is_inline(node: Any) -> bool:
    return isinstance(node, dict) and (
        node.get("type") in (*_INLINE_TYPES, *_BREAKS) or "plain_text" in node
    )


def _unmarked(text: str) -> str:
    """The text without the inline HTML that Editor.js keeps in it."""
    if "<" not in text and "&" not in text:
        return text
    return html.unescape(_TAG.sub("", _BREAK_TAG.sub("\n", text))).replace("\xa0", " ")

"""LlamaIndex's notes on a node in, what was embedded before the node's text out.

A node is embedded with its metadata before it, unless it was told otherwise; the column `text` has
the text alone. Source: BaseNode.get_content and get_metadata_str, llama-index-core 0.14.
"""

import json
from collections.abc import Mapping
from typing import Any

bookkeeping = frozenset({"_node_content", "_node_type"})
_TEMPLATE = "{metadata_str}\n\n{content}"  # as a heading and a text of ours are put together


def embedded_metadata(metadata: Mapping[str, Any]) -> str:
    """The metadata as it stood before the text when that was embedded; empty if it did not.

    A node that puts them together in another way than by default gives none: its vector then does
    not pass for that of its text.
    """
    node = _node(metadata.get("_node_content"))
    if node.get("text_template", _TEMPLATE) != _TEMPLATE:
        return ""
    template = str(node.get("metadata_template", "{key}: {value}"))
    separator = str(node.get("metadata_separator", node.get("metadata_seperator", "\n")))
    excluded = node.get("excluded_embed_metadata_keys") or ()
    return separator.join(
        template.replace("{key}", str(key), 1).replace("{value}", str(value), 1)
        for key, value in (node.get("metadata") or {}).items()
        if key not in excluded
    ).strip()


def _node(content: object) -> Mapping[str, Any]:
    if not isinstance(content, str):
        return {}
    try:
        node = json.loads(content)
    except ValueError:
        return {}
    return node if isinstance(node, dict) else {}

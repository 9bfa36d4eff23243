"""Markdown in, the values of its YAML front matter out."""

import re
from collections.abc import Mapping
from typing import Any

import yaml

from ingestion_assets.documents import decoding

_FENCED = re.compile(r"---[ \t]*\n(.*?\n)??(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.S)
_LARGEST = 65_536  # characters
_NUMBER = re.compile(r"-?(?:0|[1-9]\d{0,17})(\.\d{1,17})?")
_WORDS: Mapping[str, bool | None] = {
    "true": True,
    "false": False,
    "null": None,
    "~": None,
    "": None,
}


class _Loader(yaml.SafeLoader):
    """Composes nodes; refuses aliases, which can unfold to any size."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.composer.ComposerError(problem="front matter with an alias")
        return super().compose_node(parent, index)


def split(text: str) -> tuple[dict[str, Any], int]:
    """The front matter as JSON values, and the offset at which the text proper begins.

    Dates and words like `no` stay the strings they are written as. Without front matter, or with
    a malformed one, the values are empty and the offset is 0.
    """
    match = _FENCED.match(text, 0, _LARGEST)
    if match is None:
        return {}, 0
    try:
        node = yaml.compose(match[1] or "", _Loader)
        values = _plain(node) if node else None
    except (yaml.YAMLError, ValueError, RecursionError):
        return {}, 0
    return (values, match.end()) if isinstance(values, dict) else ({}, 0)


def _plain(node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return {_key(key): _plain(value) for key, value in node.value}
    if isinstance(node, yaml.SequenceNode):
        return [_plain(value) for value in node.value]
    plain = isinstance(node, yaml.ScalarNode) and node.style is None
    return _scalar(node.value) if plain else decoding.storable(node.value)


def _key(node: yaml.Node) -> str:
    if not isinstance(node, yaml.ScalarNode):
        raise yaml.constructor.ConstructorError(problem="a key that is no scalar")
    return decoding.storable(node.value)


def _scalar(word: str) -> Any:
    if word.lower() in _WORDS:
        return _WORDS[word.lower()]
    if number := _NUMBER.fullmatch(word):
        return float(word) if number[1] else int(word)
    return decoding.storable(word)

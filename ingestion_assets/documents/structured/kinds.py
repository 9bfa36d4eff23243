"""The name of a block's type in, what kind of block it is out."""

import re
from enum import StrEnum


class Kind(StrEnum):
    """How a block is made into text."""

    LIST = "list"
    HEADING = "heading"
    TABLE = "table"
    CODE = "code"
    SKIPPED = "skipped"
    PLAIN = "plain"


# Read by Postgres too, where it has the same meaning; compared with the type in lower case.
HEADING_TYPE = r"^((sub)?head(ing|er)[ _-]?[1-6]?|h[1-6])$"

_HEADING = re.compile(HEADING_TYPE)
_KINDS = (
    (re.compile(r"mermaid|diagram|divider|delimiter|separator|horizontal_?rule|page_?break|spacer"),
     Kind.SKIPPED),
    (re.compile(r"list|to_?do|check"), Kind.LIST),
    (re.compile(r"table|grid"), Kind.TABLE),
    (re.compile(r"code|snippet|listing"), Kind.CODE),
)  # fmt: skip


def kind(block_type: str) -> Kind:
    """What kind a type is, by the words in its name; one nobody knows is plain."""
    name = block_type.strip().lower()
    if is_heading(name):
        return Kind.HEADING
    return next((found for words, found in _KINDS if words.search(name)), Kind.PLAIN)


def is_heading(block_type: str) -> bool:
    """Whether a block of this type is a heading: `heading`, `header`, `heading_2`, `h3`."""
    return _HEADING.match(block_type.lower()) is not None

"""What is read of a row of somebody's table: columns, an expression, or a block."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias


@dataclass(frozen=True, slots=True)
class Key:
    """A column of the key; `type` is one of Postgres' own, without a length."""

    column: str
    type: str


@dataclass(frozen=True, slots=True)
class Columns:
    """Columns of text or JSON, with an empty line between them."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Expression:
    """An SQL expression over one row, as the operator wrote it.

    Attributes:
        columns: those it reads.
    """

    sql: str
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Title:
    """Where a document's title is: in the blocks' own table, unless another one is named.

    Attributes:
        key: column of the other table that the blocks' document column holds.
    """

    column: str
    schema: str | None = None
    table: str | None = None
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Blocks:
    """A block's type and content, and what gives a heading its context.

    Attributes:
        document: column that names the block's document, with its type.
        position: column that orders the blocks of a document.
        level: column with a heading's level.
    """

    type: str
    content: str
    document: Key | None = None
    position: str | None = None
    level: str | None = None
    title: Title | None = None


Reading: TypeAlias = Columns | Expression | Blocks


def as_config(reading: Reading) -> dict[str, Any]:
    """The reading as JSON."""
    return {"reads": type(reading).__name__.lower(), **asdict(reading)}


def from_config(config: Mapping[str, Any]) -> Reading:
    """The reading that `as_config` wrote down."""
    match config:
        case {"reads": "columns", "names": names}:
            return Columns(tuple(names))
        case {"reads": "expression", "sql": expression, "columns": columns}:
            return Expression(expression, tuple(columns))
    own = {name: value for name, value in config.items() if name != "reads"}
    document, title = own.pop("document"), own.pop("title")
    return Blocks(
        **own,
        document=Key(**document) if document else None,
        title=Title(**title) if title else None,
    )

"""Values of JSON in, records out: as all their paths, or as a field map says."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, ConfigDict, Field

from ingestion_assets.documents import records
from ingestion_assets.documents.document import Reading


def _listed(paths: object) -> object:
    return [paths] if isinstance(paths, str) else paths


_Path = Annotated[str, Field(min_length=1)]
_Paths = Annotated[tuple[_Path, ...], BeforeValidator(_listed)]


@dataclass(frozen=True, slots=True)
class FieldMap:
    """Where in a record its parts are, by dotted paths: `author.name`, `answers.0.text`.

    Attributes:
        text: one path or several; what they hold is the record's text, in their order.
        title: the heading above it.
        id: what the record is known by.
        metadata: what else is worth keeping.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    text: Annotated[_Paths, Field(min_length=1)]
    title: _Path | None = None
    id: _Path | None = None
    metadata: _Paths = ()


def reading(values: Sequence[Any], fields: FieldMap | None) -> Reading:
    """The text of all records.

    Without a field map every value is a line `path: value`. With one, id and metadata of a lone
    record are the document's; where there are several, they are lines above the record's text.

    Raises:
        ValueError: no record has a text where the field map says.
    """
    if fields is None:
        return Reading(records.joined(records.rendered(pairs(value)) for value in values))
    texts = [_text(value, fields) for value in values]
    if values and not any(texts):
        paths = ", ".join(fields.text)
        raise ValueError(f"no record has a text at {paths}, as `fields` in sources.yaml says")
    missing = {"records_without_text": texts.count("")} if "" in texts else {}
    if len(values) == 1:
        [value] = values
        title = _title(value, fields)
        kept = {path: find(value, path) for path in fields.metadata}
        kept |= {"id": find(value, fields.id)} if fields.id else {}
        known = {path: found for path, found in kept.items() if found is not None}
        return Reading(_record(title, "", texts[0]), title, known)
    return Reading(
        records.joined(
            _record(_title(value, fields), _about(value, fields), text)
            for value, text in zip(values, texts, strict=True)
            if text
        ),
        metadata=missing,
    )


def find(value: Any, path: str) -> Any:
    """What is at a dotted path; None if there is nothing. A key may have dots in it."""
    if isinstance(value, dict) and path in value:
        return value[path]
    step, _, rest = path.partition(".")
    if isinstance(value, dict):
        value = value.get(step)
    elif isinstance(value, list) and step.isdecimal() and int(step) < len(value):
        value = value[int(step)]
    else:
        return None
    return find(value, rest) if rest else value


def pairs(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every value in a record with its path; a list of plain values is one."""
    if isinstance(value, dict):
        for key, child in value.items():
            yield from pairs(child, f"{path}.{key}" if path else key)
    elif isinstance(value, list) and any(isinstance(child, (dict, list)) for child in value):
        for number, child in enumerate(value):
            yield from pairs(child, f"{path}.{number}" if path else str(number))
    else:
        yield path, plain(value)


def plain(value: Any) -> str:
    """A value that holds no other as text; what such a list holds, with commas between."""
    if isinstance(value, list):
        parts = [plain(child) for child in value]
        return ("\n" if any("\n" in part for part in parts) else ", ").join(filter(None, parts))
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _text(value: Any, fields: FieldMap) -> str:
    found = (pairs(find(value, path)) for path in fields.text)
    return records.rendered(pair for inner in found for pair in inner)


def _title(value: Any, fields: FieldMap) -> str:
    return " ".join(plain(find(value, fields.title)).split()) if fields.title else ""


def _about(value: Any, fields: FieldMap) -> str:
    paths = [*([fields.id] if fields.id else []), *fields.metadata]
    return records.rendered(pair for path in paths for pair in pairs(find(value, path), path))


def _record(title: str, about: str, text: str) -> str:
    body = "\n".join(filter(None, [about, text]))
    return f"# {title}\n\n{body}" if title and body else body

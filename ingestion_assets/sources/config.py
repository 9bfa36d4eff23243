"""sources.yaml in, checked sources out; or one error that names all that is wrong with it."""

from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from ingestion_assets.chunks.chunking import Chunking
from ingestion_assets.documents.fields import FieldMap
from ingestion_assets.errors import ConfigError
from ingestion_assets.sources.addresses import ORIGINS, SECRET, Query
from ingestion_assets.sources.categories import Rule
from ingestion_assets.sources.record import UNSTORABLE
from ingestion_assets.sources.source import Source

Problem = tuple[int, str]  # line, from 1; what is wrong there, and the remedy

_EXAMPLE = "begin with:\nsources:\n  - name: handbook\n    root: docs"
_REMEDIES = {
    "dataclass_type": "not a mapping; write `key: value` lines",
    "model_type": "not a mapping; " + _EXAMPLE,
    "list_type": "not a list; begin each entry with a dash",
    "tuple_type": "not a list; write it in brackets, or begin each entry with a dash",
    "dict_type": "not a mapping; write `key: value` lines",
    "string_too_short": "is empty; write a path",
    "too_short": "must have at least one right entry",
    "string_type": "not a string; put it in quotes",
    "bool_type": "neither true nor false; write one of them, without quotes",
    "int_type": "not a whole number; write digits only, without quotes",
}
_OPTIONS = {key for keys in ORIGINS.values() for key in keys}
# Settings that have settings of their own.
_PARTS = {"postgres": Query, "fields": FieldMap, "chunker": Chunking, "categories": Rule}


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    sources: Annotated[list[Source], Field(min_length=1)]


class _Loader(yaml.SafeLoader):
    """Dates stay strings, as JSON has none."""

    yaml_implicit_resolvers = {  # noqa: RUF012  # the base class keeps it so
        first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def load(path: Path) -> list[Source]:
    """The sources of a file, in its order; roots are relative to the file's folder.

    That a root or a function is there is checked when it is read: a share may be mounted later.

    Raises:
        ConfigError: names file, line, value and remedy of everything that is wrong.
    """
    node, data = _parse(path)
    problems = [*_unstorable(node), *_duplicate_keys(node), *_duplicate_names(node)]
    problems += _origins(node, data)
    try:
        sources = _File.model_validate(data).sources
    except ValidationError as exc:
        problems += [_problem(node, error) for error in exc.errors(include_url=False)]
    if problems:
        lines = [f"{path}:{line}: {problem}" for line, problem in sorted(problems)]
        raise ConfigError("\n".join(lines))
    folder = path.absolute().parent
    return [_placed(source, folder) for source in sources]


def _placed(source: Source, folder: Path) -> Source:
    """The source with its paths made absolute."""
    git = source.git and (folder / source.git.expanduser()).resolve()
    return replace(source, root=(folder / source.root.expanduser()).resolve(), git=git)


def _parse(path: Path) -> tuple[yaml.Node, Any]:
    try:
        loader = _Loader(path.read_text(encoding="utf-8-sig"))
        node = loader.get_single_node()
        if node is None:
            raise ConfigError(f"{path}:1: the file is empty; {_EXAMPLE}")
        return node, loader.construct_document(node)
    except OSError as exc:
        raise ConfigError(
            f"{path}: cannot be read ({exc.strerror}); create it, or set INGESTION_SOURCES"
        ) from exc
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark or exc.context_mark
        where = f"{mark.line + 1}:{mark.column + 1}" if mark else "1"
        what = ", ".join(filter(None, [exc.context, exc.problem]))
        raise ConfigError(f"{path}:{where}: not YAML: {what}; check indentation, quotes") from exc
    except (yaml.YAMLError, ValueError, RecursionError) as exc:
        raise ConfigError(f"{path}:1: not YAML in UTF-8: {exc}; save it as such") from exc


def _nodes(node: yaml.Node) -> Iterator[yaml.Node]:
    """All nodes, each once even if it is its own alias."""
    seen: set[int] = set()
    pending = [node]
    while pending:
        node = pending.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        yield node
        if isinstance(node, yaml.MappingNode):
            pending += [part for pair in node.value for part in pair]
        elif isinstance(node, yaml.SequenceNode):
            pending += node.value


def _unstorable(root: yaml.Node) -> Iterator[Problem]:
    for node in _nodes(root):
        if isinstance(node, yaml.ScalarNode) and UNSTORABLE.search(node.value):
            yield _line(node), f"{node.value!r}: has a character that cannot be stored; remove it"


def _duplicate_keys(root: yaml.Node) -> Iterator[Problem]:
    for node in _nodes(root):
        if isinstance(node, yaml.MappingNode):
            yield from _repeated([key for key, _ in node.value], "key")


def _duplicate_names(root: yaml.Node) -> Iterator[Problem]:
    _, sources = _child(root, "sources")
    entries = sources.value if isinstance(sources, yaml.SequenceNode) else []
    names = [_child(entry, "name")[1] for entry in entries]
    yield from _repeated([name for name in names if name], "source name")


def _origins(node: yaml.Node, data: Any) -> Iterator[Problem]:
    """What is wrong with where documents come from: one key says it, with what belongs to it."""
    entries = data.get("sources") if isinstance(data, dict) else None
    for number, entry in enumerate(entries if isinstance(entries, list) else []):
        if isinstance(entry, dict):
            for key, problem in _misplaced(entry):
                yield _at(node, ("sources", number, key)), problem.format(number)


def _misplaced(entry: dict[Any, Any]) -> Iterator[tuple[str, str]]:
    """Keys of an entry that have no place in it, and what to do."""
    first, *others = [key for key in entry if key in ORIGINS] or [""]
    if not first:
        rest = ", ".join(f"`{key}`" for key in ORIGINS if key != "root")
        yield "", f"sources.{{}}.root: is missing; add it, or one of {rest}"
        return
    for key in others:
        yield key, f"{key}: `{first}` says already where documents are; keep one of them"
    for key in entry.keys() & _OPTIONS - {*ORIGINS[first]}:
        owners = ", ".join(f"`{origin}`" for origin, own in ORIGINS.items() if key in own)
        yield key, f"{key}: belongs to {owners}, not to `{first}`; remove it"


def _repeated(nodes: Sequence[yaml.Node], what: str) -> Iterator[Problem]:
    first: dict[str, int] = {}
    for node in nodes:
        line = first.setdefault(str(node.value), _line(node))
        if line != _line(node):
            yield _line(node), f"{what} {node.value!r} is on line {line} already; keep one of them"


def _problem(root: yaml.Node, error: ErrorDetails) -> Problem:
    where = ".".join(str(part) for part in error["loc"]) or "file"
    return _at(root, error["loc"]), f"{where}: {_explained(error)}"


def _at(root: yaml.Node, place: Sequence[int | str]) -> int:
    """The line of a key or an entry, or of what is nearest above it."""
    key, node = root, root
    for part in place:
        found, child = _child(node, part)
        if found is None or child is None:
            break
        key, node = found, child
    return _line(key)


def _explained(error: ErrorDetails) -> str:
    if error["type"] in {"missing", "missing_argument"}:
        return "is missing; add it"
    if error["type"] in {"extra_forbidden", "unexpected_keyword_argument"}:
        known = _known(error["loc"])
        close = get_close_matches(str(error["loc"][-1]), known, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(known)}"
        return f"is no known key; {hint}"
    kind = "dict_type" if error["loc"][-1:] == ("fields",) else error["type"]
    message = _REMEDIES.get(kind, error["msg"].removeprefix("Value error, "))
    if error["type"] == SECRET or error["loc"][-1:] == ("postgres",):  # a URL may stand there
        return message
    return f"{error['input']!r}: {message[0].lower()}{message[1:]}"


def _known(place: Sequence[int | str]) -> list[str]:
    """The keys that there may be at a place."""
    if len(place) == 1:
        return ["sources"]
    within = next((part for name, part in _PARTS.items() if name in place[:-1]), Source)
    return [field.name for field in fields(within)]


def _child(node: yaml.Node, part: int | str) -> tuple[yaml.Node | None, yaml.Node | None]:
    """The node of a key or an index, and that of its value."""
    if isinstance(node, yaml.MappingNode):
        return next(((k, v) for k, v in node.value if k.value == part), (None, None))
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part], node.value[part]
    return None, None


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1

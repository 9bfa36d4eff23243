"""Changes to sources.yaml that leave everything else in it, comments included, as it was."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile

import yaml

from ingestion_assets.errors import ConfigError
from ingestion_assets.sources.config import load

_HEADER = "# What is ingested. `ingest run` reads it.\nsources:\n"


def add(path: Path, name: str, root: str) -> None:
    """Append a source; the file is made if there is none.

    Raises:
        ConfigError: the file would not be right with it; it stays as it was.
    """
    text = path.read_text(encoding="utf-8") if path.exists() else _HEADER
    column, end = _end_of_list(path, text)
    entry = yaml.safe_dump({"name": name, "root": root}, sort_keys=False, allow_unicode=True)
    first, *others = entry.splitlines()
    pad = " " * column
    lines = [f"{pad}- {first}", *(f"{pad}  {line}" for line in others)]
    _replace(path, _inserted(text, end, lines))


def set_buckets(path: Path, name: str, buckets: int) -> None:
    """Set the number of a source's buckets.

    Raises:
        ConfigError: the file has no such source, or would not be right; it stays as it was.
    """
    _replace(path, _with_buckets(path, name, buckets))


def check_buckets(path: Path, name: str, buckets: int) -> None:
    """Check that `set_buckets` would do, and change nothing.

    Raises:
        ConfigError: as `set_buckets`.
    """
    with _draft(path, _with_buckets(path, name, buckets)):
        pass


def _with_buckets(path: Path, name: str, buckets: int) -> str:
    text = path.read_text(encoding="utf-8")
    entry = _entry(path, text, name)
    values = {key.value: (key, value) for key, value in entry.value}
    if "buckets" in values:
        _, value = values["buckets"]
        return text[: value.start_mark.index] + str(buckets) + text[value.end_mark.index :]
    if entry.flow_style:
        at = values["name"][1].end_mark.index
        return f"{text[:at]}, buckets: {buckets}{text[at:]}"
    key, value = values["name"]
    pad = " " * key.start_mark.column
    return _inserted(text, value.end_mark.line + 1, [f"{pad}buckets: {buckets}"])


def _sources(path: Path, text: str) -> yaml.SequenceNode | None:
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    pairs = root.value if isinstance(root, yaml.MappingNode) else []
    listed = next((value for key, value in pairs if key.value == "sources"), None)
    if isinstance(listed, yaml.SequenceNode):
        return listed
    if listed is None or listed.value:
        raise ConfigError(f"{path}: has no list `sources:`; add the line, or edit it by hand")
    return None


def _end_of_list(path: Path, text: str) -> tuple[int, int]:
    """The column of the list's dashes, and the number of lines up to its last entry's end."""
    listed = _sources(path, text)
    if listed is None or not listed.value:
        return 2, len(text.splitlines())
    if listed.flow_style:
        raise ConfigError(f"{path}: the list is in brackets; add the source by hand")
    return listed.start_mark.column, _last_line(listed) + 1


def _last_line(node: yaml.Node) -> int:
    """The line on which a node's last value ends; the node's own end is where the next begins."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style:
        last = node.value[-1]
        return _last_line(last[1] if isinstance(last, tuple) else last)
    at_start = node.end_mark.column == 0 and node.end_mark.line > node.start_mark.line
    return int(node.end_mark.line) - at_start


def _entry(path: Path, text: str, name: str) -> yaml.MappingNode:
    listed = _sources(path, text)
    for entry in listed.value if listed else []:
        if any(key.value == "name" and value.value == name for key, value in entry.value):
            found: yaml.MappingNode = entry
            return found
    raise ConfigError(f"{path}: no source is named {name!r}")


def _inserted(text: str, line: int, new: list[str]) -> str:
    lines = text.splitlines()
    return "\n".join([*lines[:line], *new, *lines[line:]]) + "\n"


def _replace(path: Path, text: str) -> None:
    with _draft(path, text) as draft:
        if path.exists():
            draft.chmod(path.stat().st_mode)
        os.replace(draft, path.resolve())


@contextmanager
def _draft(path: Path, text: str) -> Iterator[Path]:
    """A checked file beside another, to be put into its place or to be forgotten."""
    with NamedTemporaryFile(
        "w", encoding="utf-8", dir=path.absolute().parent, prefix=f".{path.name}.", delete=False
    ) as made:
        made.write(text)
    draft = Path(made.name)
    try:
        load(draft)
        yield draft
    except ConfigError as exc:
        raise ConfigError(str(exc).replace(str(draft), str(path))) from None
    finally:
        draft.unlink(missing_ok=True)

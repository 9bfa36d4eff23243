"""Jupyter notebooks in, Markdown out; nothing is executed.

Markdown cells stand as they are, code cells fenced in the kernel's language. Of the outputs only
text is kept, and of a long one its beginning: what a cell prints is rarely what is looked for.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ingestion_assets.documents import markdown
from ingestion_assets.documents.decoding import storable
from ingestion_assets.documents.document import Reading

_OUTPUT_LINES = 10
_OUTPUT_CHARACTERS = 1000
_FENCE = re.compile("`{3,}")
_MAGIC = re.compile(r"%%(bash|sh|javascript|html|latex|ruby|perl|R|sql)\b", re.I)
_COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_EMBEDDED = re.compile(r"\bdata:[\w/+.-]+;base64,[\w+/=]{100,}")


def read(text: str) -> Reading:
    """The notebook's cells, in order.

    `metadata` has the number of its `cells` and, if there are any, of `cut_outputs`.

    Raises:
        ValueError: not JSON, or no notebook.
        RecursionError: nested far too deep.
    """
    if not text.strip():
        return Reading("")
    notebook = _Notebook.of(json.loads(text, strict=False))
    parts = [part for cell in notebook.cells for part in notebook.rendered(cell)]
    said = markdown.read(storable("\n\n".join(part for part in parts if part.strip())))
    counts = {"cells": len(notebook.cells), "cut_outputs": notebook.cut}
    known = {name: count for name, count in counts.items() if count}
    return Reading(said.text, said.title, {**said.metadata, **known})


@dataclass(slots=True)
class _Notebook:
    cells: list[dict[str, Any]]
    language: str
    cut: int = 0  # outputs

    @classmethod
    def of(cls, value: Any) -> "_Notebook":
        """The cells of format 4, or of the worksheets of format 3."""
        sheets = [value, *_dicts(_get(value, "worksheets"))] if isinstance(value, dict) else []
        if not any("cells" in sheet for sheet in sheets) and "worksheets" not in _dict(value):
            raise ValueError("no notebook: it has no cells")
        cells = [cell for sheet in sheets for cell in _dicts(sheet.get("cells"))]
        about = _dict(_get(value, "metadata"))
        named = _get(_dict(about.get("language_info")), "name") or _get(
            _dict(about.get("kernelspec")), "language"
        )
        if not named:
            named = next((cell["language"] for cell in cells if cell.get("language")), "python")
        return cls(cells, re.sub(r"[^\w+#.-]", "", str(named)))

    def rendered(self, cell: Mapping[str, Any]) -> Iterator[str]:
        """The parts of a cell, as Markdown."""
        source = _joined(cell.get("source", cell.get("input"))).strip("\n").rstrip()
        kind = cell.get("cell_type")
        if kind == "code":
            magic = _MAGIC.match(source)
            yield _fenced(source, magic[1].lower() if magic else self.language)
            for output in _dicts(cell.get("outputs")):
                yield self._output(output)
        elif kind == "heading":  # format 3
            level = cell.get("level")
            level = level if isinstance(level, int) and 1 <= level <= 6 else 1
            yield f"{'#' * level} {' '.join(source.split())}"
        else:
            yield _EMBEDDED.sub("data:", source)

    def _output(self, output: Mapping[str, Any]) -> str:
        lines = _COLOURS.sub("", _output_text(output)).strip("\n").split("\n")
        short = "\n".join(lines[:_OUTPUT_LINES])[:_OUTPUT_CHARACTERS].rstrip()
        if len(short) < len("\n".join(lines).rstrip()):
            self.cut += 1
            short += "\n…"
        return _fenced(short, "")


def _output_text(output: Mapping[str, Any]) -> str:
    """What an output says in plain text; nothing for warnings and progress on stderr."""
    kind = output.get("output_type")
    if kind == "stream":
        name = output.get("name", output.get("stream"))
        return "" if name == "stderr" else _joined(output.get("text"))
    if kind in {"error", "pyerr"}:
        return f"{_joined(output.get('ename'))}: {_joined(output.get('evalue'))}"
    plain = _dict(output.get("data")).get("text/plain", output.get("text"))
    text = _joined(plain)
    return "" if _OBJECT.fullmatch(text.strip()) else text


_OBJECT = re.compile(r"<[^<>\n]*>")  # `<Figure size 640x480 with 1 Axes>`


def _fenced(code: str, language: str) -> str:
    if not code.strip():
        return ""
    fence = "`" * (max(map(len, _FENCE.findall(code)), default=2) + 1)
    return f"{fence}{language}\n{code}\n{fence}"


def _joined(value: Any) -> str:
    """A text, or the list of its lines."""
    if isinstance(value, list):
        return "".join(line for line in value if isinstance(line, str))
    return value if isinstance(value, str) else ""


def _get(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []

"""Styles and numbering of a DOCX in, levels of headings and markers of items out."""

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

from docx.oxml.ns import nsmap, qn
from lxml import etree

_HEADING = re.compile(r"heading (\d)", re.I)
_TITLE = "title"
_CONTENTS = re.compile(r"(?:toc|table of figures)\b", re.I)
_DEEPEST = 20  # styles based on another


@dataclass(frozen=True, slots=True)
class Style:
    """What a paragraph is.

    Attributes:
        level: of a heading, 1 to 9, else 0.
        numbering: id and level of the list it is an item of.
    """

    level: int = 0
    numbering: tuple[str, int] | None = None
    is_contents: bool = False


class Styles:
    """The styles of a document, with what they inherit."""

    def __init__(self, root: etree._Element) -> None:
        self._elements = {style.get(qn("w:styleId")): style for style in root.iter(qn("w:style"))}
        self._known: dict[str | None, Style] = {None: Style()}

    def of(self, paragraph: etree._Element) -> Style:
        """What its style and its own properties make of a paragraph."""
        properties = paragraph.find(qn("w:pPr"))
        if properties is None:
            return self._known[None]
        name = _value(properties, "w:pStyle")
        if name not in self._known:
            self._known[name] = self._read(name)
        return _overlaid(self._known[name], properties)

    def _read(self, name: str | None) -> Style:
        style = Style()
        for element in reversed(list(self._line(name))):
            said = _value(element, "w:name") or ""
            if match := _HEADING.fullmatch(said):
                style = replace(style, level=int(match[1]))
            elif said.lower() == _TITLE:
                style = replace(style, level=1)
            elif _CONTENTS.match(said):
                style = replace(style, is_contents=True)
            properties = element.find(qn("w:pPr"))
            if properties is not None:
                style = _overlaid(style, properties)
        return style

    def _line(self, name: str | None) -> Iterator[etree._Element]:
        """A style and those it is based on."""
        for _ in range(_DEEPEST):
            if (element := self._elements.get(name)) is None:
                return
            yield element
            name = _value(element, "w:basedOn")


class Numbering:
    """The lists of a document, counted as their items come."""

    def __init__(self, root: etree._Element | None) -> None:
        self._root = root
        self._counts: dict[str, dict[int, int]] = defaultdict(dict)

    def marker(self, number: str, level: int) -> str | None:
        """Marker of the next item, None if the list has none."""
        form = self._forms.get((number, level), "none")
        if form in {"none", "bullet"}:
            return "-" if form == "bullet" else None
        counts = self._counts[number]
        counts[level] = counts.get(level, 0) + 1
        self._counts[number] = {at: count for at, count in counts.items() if at <= level}
        return f"{counts[level]}."

    @cached_property
    def _forms(self) -> dict[tuple[str, int], str]:
        """Form of the numbers, by list and level."""
        if self._root is None:
            return {}
        abstract = {
            element.get(qn("w:abstractNumId")): {
                int(level.get(qn("w:ilvl"), "0")): _value(level, "w:numFmt") or "decimal"
                for level in element.iterchildren(qn("w:lvl"))
            }
            for element in self._root.iterchildren(qn("w:abstractNum"))
        }
        return {
            (element.get(qn("w:numId"), ""), level): form
            for element in self._root.iterchildren(qn("w:num"))
            for level, form in abstract.get(_value(element, "w:abstractNumId"), {}).items()
        }


def _overlaid(style: Style, properties: etree._Element) -> Style:
    """A style with what paragraph properties say beside it."""
    outline = _value(properties, "w:outlineLvl")
    if outline is not None:
        style = replace(style, level=(int(outline) + 1) % 10)  # 9 is body text
    numbers = properties.find(qn("w:numPr"))
    if numbers is not None:
        before = style.numbering or ("0", 0)
        number = _value(numbers, "w:numId") or before[0]
        level = int(_value(numbers, "w:ilvl") or before[1])
        style = replace(style, numbering=(number, level) if number != "0" else None)
    return style


def _value(element: etree._Element, path: str) -> str | None:
    found = element.find(path, nsmap)
    return None if found is None else found.get(qn("w:val"))

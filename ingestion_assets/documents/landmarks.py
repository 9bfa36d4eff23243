"""The elements of a page in, which of its lines are the main content out.

Landmarks, and the class names that generators give to navigation. On the manuals of eighteen
generators they lose nothing that a reader would miss; trafilatura lost a quarter of GLib's page,
readability half of git's and of valgrind's.
"""

import re
from collections.abc import Mapping, Sequence

_DROPPED = {
    "script", "style", "noscript", "template", "nav", "svg", "iframe", "object", "canvas", "button",
    "select", "dialog",
}  # fmt: skip
_DROPPED_ROLES = {"navigation", "contentinfo", "search", "menubar", "dialog", "alertdialog"}
_NOT_SHOWN = re.compile(r"display\s*:\s*none", re.I)
_COOKIES = re.compile(
    r"(?:cookie|gdpr)s?[-_]?(?:banner|consent|notice|bar|popup|modal|law|message)[\w-]*"
    r"|cookieconsent|onetrust-[\w-]+|cybotcookiebot\w*",
    re.I,
)

# Classes and ids, outside of the main content: Sphinx and others call a box within it a sidebar.
_CHROME = {
    "nav", "navbar", "nav-panel", "navheader", "navfooter", "navigation", "nav-path", "navpath",
    "topnav", "bottomnav", "subnav", "breadcrumb", "breadcrumbs", "pagination", "pager", "sidebar",
    "sphinxsidebar", "footer", "site-footer", "page-footer", "skip-link", "skip-nav",
    "skip-to-content", "skip-main", "mdbook-help-container",
}  # fmt: skip

_LEAST = {"main": 0.1, "article": 0.5}  # of the text around it; else it is something else


class Landmarks:
    """Follows the elements of a page, and keeps where `main` and `article` begin and end."""

    def __init__(self) -> None:
        self._depth = 0
        self._dropped_at = 0  # depth of the outermost element that is dropped
        self._open: list[tuple[int, str, int]] = []  # depth, landmark, first line
        self._spans: dict[str, list[tuple[int, int]]] = {"main": [], "article": []}

    @property
    def dropped(self) -> bool:
        """Whether the open element is no content."""
        return self._dropped_at > 0

    def start(self, tag: str, attributes: Mapping[str, str], lines: int) -> None:
        """An element begins, when so many lines are written."""
        self._depth += 1
        landmark = "main" if attributes.get("role") == "main" else tag
        if self.dropped:
            return
        if self._is_dropped(tag, attributes):
            self._dropped_at = self._depth
        elif landmark in self._spans and landmark not in {name for _, name, _ in self._open}:
            self._open.append((self._depth, landmark, lines))

    def end(self, lines: int) -> None:
        """The innermost element ends, when so many lines are written."""
        if self._dropped_at == self._depth:
            self._dropped_at = 0
        if self._open and self._open[-1][0] == self._depth:
            _, landmark, first = self._open.pop()
            self._spans[landmark].append((first, lines))
        self._depth -= 1

    def begins(self, tag: str, attributes: Mapping[str, str]) -> bool:
        """Whether an element is a landmark, so that what is written must be written out before."""
        return tag in self._spans or attributes.get("role") == "main"

    def main(self, lines: Sequence[str]) -> Sequence[str]:
        """The lines of the main content; all of them if a page does not say which they are."""
        first, end = 0, len(lines)
        for landmark, least in _LEAST.items():
            within = [span for span in self._spans[landmark] if first <= span[0] <= span[1] <= end]
            if len(within) == 1 and _size(lines[slice(*within[0])]) >= least * _size(
                lines[first:end]
            ):
                [(first, end)] = within
        return lines[first:end]

    def _is_dropped(self, tag: str, attributes: Mapping[str, str]) -> bool:
        if tag in {"html", "body"}:  # hidden until a script has run
            return False
        names = f"{attributes.get('class', '')} {attributes.get('id', '')}".lower().split()
        role = attributes.get("role")
        return (
            tag in _DROPPED
            or role in _DROPPED_ROLES
            or ("hidden" in attributes and role != "tabpanel")
            or attributes.get("aria-hidden") == "true"
            or "headerlink" in names
            or bool(_NOT_SHOWN.search(attributes.get("style", "")))
            or any(map(_COOKIES.fullmatch, names))
            or (not self._open and (tag == "footer" or not _CHROME.isdisjoint(names)))
        )


def _size(lines: Sequence[str]) -> int:
    return sum(map(len, lines))

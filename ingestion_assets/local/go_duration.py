"""Durations as Ollama's `keep_alive` takes them: seconds, or Go's `1h30m`."""

import math
import re

_SECONDS = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,  # micro sign
    "\u03bcs": 1e-6,  # Greek mu
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
}
_LONGEST = 2**63 / 1e9  # seconds in Go's int64 of nanoseconds
_PART = re.compile(r"(?P<number>[0-9]+\.?[0-9]*|\.[0-9]+)(?P<unit>[^0-9.]*)")
_GO_TYPES = {bool: "bool", list: "[]interface {}", dict: "map[string]interface {}"}


def keep_alive_seconds(value: object) -> float:
    """Seconds to keep a model loaded; infinite for a negative value.

    Raises:
        ValueError: not a duration; the text is Go's.
    """
    if type(value) in _GO_TYPES:
        raise ValueError(f"Unsupported type: '{_GO_TYPES[type(value)]}'")
    seconds = parse(value) if isinstance(value, str) else float(value)  # type: ignore[arg-type]
    return math.inf if seconds < 0 else seconds


def parse(text: str) -> float:
    """Seconds of a Go duration.

    Raises:
        ValueError: malformed; the text is Go's.
    """
    unsigned = text[1:] if text[:1] in ("-", "+") else text
    if unsigned == "0":
        return 0.0
    total, position = 0.0, 0
    while position < len(unsigned) or not unsigned:
        part = _PART.match(unsigned, position)
        if part is None:
            raise ValueError(f'time: invalid duration "{text}"')
        if not part["unit"]:
            raise ValueError(f'time: missing unit in duration "{text}"')
        if part["unit"] not in _SECONDS:
            raise ValueError(f'time: unknown unit "{part["unit"]}" in duration "{text}"')
        total += float(part["number"]) * _SECONDS[part["unit"]]
        position = part.end()
    if total > _LONGEST:
        raise ValueError(f'time: invalid duration "{text}"')
    return -total if text.startswith("-") else total

"""JSON bodies read the way Ollama's Go decoder reads them, with its error texts."""

import json
import re
from collections.abc import Mapping
from typing import Any, Never

import orjson

EMPTY_BODY = "EOF"

_KINDS: dict[type, str] = {
    str: "string",
    bool: "bool",
    int: "number",
    float: "number",
    list: "array",
    dict: "object",
}
_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "bool": (bool,),
    "int": (int,),
    "map[string]interface {}": (dict,),
    "interface {}": (str, bool, int, float, list, dict),
}
_LOOKING = {
    "Expecting value": "looking for beginning of value",
    "Expecting property name enclosed in double quotes": "looking for beginning of object key "
    "string",
    "Expecting ':' delimiter": "after object key",
    "Invalid control character at": "in string literal",
    "Invalid \\escape": "in string escape code",
    "Invalid \\uXXXX escape": "in \\u hexadecimal character escape",
}


class DecodeError(ValueError):
    """The body is not the JSON that was asked for; the text is Go's."""


def decode(body: bytes, struct: str, fields: Mapping[str, str]) -> dict[str, Any]:
    """The fields of a JSON object, in the order of the body; null and unknown ones left out.

    Args:
        struct: name of the Go type, for the error text.
        fields: Go type of each field, by its name in lower case.

    Raises:
        DecodeError: malformed JSON, or a field of another type; the text is Go's.
    """
    value = _parse(body)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise DecodeError(
            f"json: cannot unmarshal {_KINDS[type(value)]} into Go value of type api.{struct}"
        )
    known = {name.lower(): item for name, item in value.items() if item is not None}
    found = {name: item for name, item in known.items() if name in fields}
    for name, item in found.items():
        _check(item, f"{struct}.{name}", fields[name])
    return found


def replace_surrogates(text: str) -> str:
    """The text as UTF-8 can hold it: Go reads half a surrogate pair as U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def _check(item: object, field: str, go_type: str) -> None:
    if type(item) in _TYPES[go_type]:
        return
    kind = _KINDS[type(item)]
    if isinstance(item, float) and go_type == "int":
        kind = f"number {item!r}"
    raise DecodeError(
        f"json: cannot unmarshal {kind} into Go struct field {field} of type {go_type}"
    )


def _parse(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return _parse_leniently(body.decode("utf-8", "replace").lstrip(" \t\r\n"))


def _parse_leniently(text: str) -> Any:
    """Like Go: what follows the first value is not read, and bad Unicode is replaced."""
    if not text:
        raise DecodeError(EMPTY_BODY)
    try:
        return json.JSONDecoder(parse_constant=_not_json).raw_decode(text)[0]
    except json.JSONDecodeError as exc:
        raise DecodeError(_syntax_error(text, exc.msg, exc.pos)) from exc
    except RecursionError as exc:
        raise DecodeError("exceeded max depth") from exc


def _not_json(constant: str) -> Never:
    raise DecodeError(f"invalid character {constant[0]!r} looking for beginning of value")


def _syntax_error(text: str, problem: str, position: int) -> str:
    if problem.startswith("Illegal trailing comma"):  # Python 3.13 points at the comma
        position += len(text[position + 1 :]) - len(text[position + 1 :].lstrip()) + 1
        problem = "Expecting value" if text[position] == "]" else "Expecting property name"
    if position >= len(text) or problem.startswith("Unterminated"):
        return "unexpected EOF"
    if problem == "Expecting value" and (wrong := _wrong_literal(text[position:])):
        return wrong
    if problem == "Expecting ',' delimiter":
        return f"invalid character {_quote(text[position])} {_after(text[:position])}"
    where = next((go for start, go in _LOOKING.items() if start.startswith(problem)), problem)
    if problem.startswith("Invalid \\"):
        position += 1  # Go points behind the backslash
    return f"invalid character {_quote(text[position])} {where}"


def _wrong_literal(text: str) -> str | None:
    literal = {"t": "true", "f": "false", "n": "null"}.get(text[0])
    if literal is None:
        return None
    for index, letter in enumerate(literal):
        if index >= len(text):
            return "unexpected EOF"
        if text[index] != letter:
            quoted = _quote(text[index])
            return f"invalid character {quoted} in literal {literal} (expecting '{letter}')"
    return None


def _after(text: str) -> str:
    """What stands before a missing comma: decided by the innermost open bracket."""
    brackets = re.sub(r'"(?:[^"\\]|\\.)*"', "", text)
    depth = 0
    for character in reversed(brackets):
        depth += (character in "]}") - (character in "[{")
        if depth < 0:
            return "after array element" if character == "[" else "after object key:value pair"
    return "after top-level value"


def _quote(character: str) -> str:
    byte = chr(character.encode("utf-8", "surrogatepass")[0])  # Go looks at bytes
    if byte == "'":
        return r"'\''"
    if byte == '"':
        return "'\"'"
    shown = byte if byte.isprintable() and byte != "\\" else repr(byte)[1:-1]
    return f"'{shown}'"

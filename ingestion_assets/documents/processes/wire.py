"""A JSON header and a body of bytes, over a pipe."""

import json
import struct
from typing import Any, BinaryIO

_SIZES = struct.Struct("!QQ")


def send(pipe: BinaryIO, header: dict[str, Any], body: bytes) -> None:
    """Write one message.

    Raises:
        OSError: nobody reads any more.
    """
    head = json.dumps(header).encode()
    pipe.write(_SIZES.pack(len(head), len(body)))
    pipe.write(head)
    pipe.write(body)
    pipe.flush()


def receive(pipe: BinaryIO) -> tuple[dict[str, Any], bytes] | None:
    """Read one message; None if the other side has gone, in the middle of one or before."""
    sizes = pipe.read(_SIZES.size)
    if len(sizes) < _SIZES.size:
        return None
    head_size, body_size = _SIZES.unpack(sizes)
    head, body = pipe.read(head_size), pipe.read(body_size)
    return (json.loads(head), body) if len(body) == body_size and head else None

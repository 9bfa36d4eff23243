"""Writes an ONNX graph without the onnx package: just the protobuf fields that a graph needs.

Field numbers are those of onnx.proto. Source: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
"""

import struct
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

FLOAT, INT32, INT64 = 1, 6, 7

CONTRIB = "com.microsoft"  # onnxruntime's own fused operators

_IR_VERSION, _OPSET, _CONTRIB_OPSET = 9, 17, 1


class Graph:
    """A graph in the making: nodes in order of execution, and the weights they name.

    Attributes:
        weights: float32 arrays by initializer name; they are not part of the serialised model but
            given to the session beside it.
    """

    def __init__(self, name: str) -> None:
        self.weights: dict[str, NDArray[np.float32]] = {}
        self._name = name
        self._nodes: list[bytes] = []
        self._constants: list[bytes] = []
        self._ports: list[bytes] = []

    def weight(self, name: str, values: NDArray[np.float32]) -> str:
        """Declare a weight; returns its name."""
        self.weights[name] = np.ascontiguousarray(values, np.float32)
        return name

    def constant(self, name: str, values: Sequence[int]) -> str:
        """Declare a one-dimensional int64 constant; returns its name."""
        array = np.array(values, "<i8")
        tensor = _int(1, len(array)) + _int(2, INT64) + _bytes(8, name) + _bytes(9, array.tobytes())
        self._constants.append(_bytes(5, tensor))
        return name

    def node(
        self,
        operator: str,
        inputs: Sequence[str],
        output: str,
        *,
        domain: str = "",
        **attributes: int | float,
    ) -> str:
        """Append an operation; returns the name of its output."""
        node = b"".join(_bytes(1, name) for name in inputs)
        node += _bytes(2, output) + _bytes(3, output) + _bytes(4, operator)
        node += b"".join(_bytes(5, _attribute(*item)) for item in attributes.items())
        self._nodes.append(_bytes(1, node + (_bytes(7, domain) if domain else b"")))
        return output

    def input(self, name: str, element: int, shape: Sequence[str | int]) -> str:
        """Declare an input of the graph; a dimension given by name is free."""
        self._ports.append(_bytes(11, _port(name, element, shape)))
        return name

    def output(self, name: str, element: int, shape: Sequence[str | int]) -> None:
        """Declare an output of the graph."""
        self._ports.append(_bytes(12, _port(name, element, shape)))

    def serialize(self) -> bytes:
        """The model as onnxruntime reads it, weights left outside."""
        graph = b"".join(self._nodes) + _bytes(2, self._name) + b"".join(self._constants)
        graph += b"".join(_external(self.weights)) + b"".join(self._ports)
        opsets = _bytes(8, _bytes(1, "") + _int(2, _OPSET))
        opsets += _bytes(8, _bytes(1, CONTRIB) + _int(2, _CONTRIB_OPSET))
        return _int(1, _IR_VERSION) + _bytes(7, graph) + opsets


def _external(weights: Mapping[str, NDArray[np.float32]]) -> list[bytes]:
    """Initializers whose data is said to be elsewhere; onnxruntime is handed it by name."""
    location = _bytes(13, _bytes(1, "location") + _bytes(2, "injected")) + _int(14, 1)
    return [
        _bytes(5, _shape(array) + _int(2, FLOAT) + _bytes(8, name) + location)
        for name, array in weights.items()
    ]


def _shape(array: NDArray[np.float32]) -> bytes:
    return b"".join(_int(1, size) for size in array.shape)


def _port(name: str, element: int, shape: Sequence[str | int]) -> bytes:
    sizes = (_bytes(2, size) if isinstance(size, str) else _int(1, size) for size in shape)
    dimensions = b"".join(_bytes(1, size) for size in sizes)
    return _bytes(1, name) + _bytes(2, _bytes(1, _int(1, element) + _bytes(2, dimensions)))


def _attribute(name: str, value: int | float) -> bytes:
    if isinstance(value, float):
        return _bytes(1, name) + _varint(2 << 3 | 5) + struct.pack("<f", value) + _int(20, 1)
    return _bytes(1, name) + _int(3, value) + _int(20, 2)


def _int(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _bytes(field: int, value: bytes | str) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return _varint(field << 3 | 2) + _varint(len(raw)) + raw


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1  # a negative number is its two's complement
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])

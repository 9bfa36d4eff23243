"""Texts in, all-MiniLM-L6-v2 vectors out: onnxruntime on the CPU, float32."""

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from ingestion_assets.local import weights
from ingestion_assets.local.onnx_graph import CONTRIB, FLOAT, INT32, INT64, Graph

DIMENSIONS = 384
CONTEXT = 256  # tokens, the two special ones included
SPECIAL_TOKENS = 2  # [CLS] before and [SEP] after every text

# Texts per run of the network: four of similar length stay in the cache, 32 do not (52 against 41
# texts per CPU second).
MICRO_BATCH = 4

_LAYERS, _HEADS, _EPSILON = 6, 12, 1e-12

Tokens = Sequence[int]


class MiniLM:
    """The model in memory; safe to use from several threads.

    Raises:
        LocalServiceError: its files are not installed, or not the official ones.
    """

    dimensions = DIMENSIONS
    context = CONTEXT

    def __init__(self) -> None:
        self._tokenizer = Tokenizer.from_file(str(weights.tokenizer_file()))
        self._tokenizer.no_padding()  # the file asks for padding and truncation to 128
        self._tokenizer.no_truncation()
        self._graph = build(weights.load())  # the session reads the weights where they are
        self._session = _session(self._graph)

    def tokenize(self, texts: Sequence[str]) -> list[Tokens]:
        """Token ids of every text, of any length, special tokens included."""
        return [encoding.ids for encoding in self._tokenizer.encode_batch_fast(list(texts))]

    def run(self, batch: Sequence[Tokens]) -> NDArray[np.float32]:
        """Vectors of a few token lists, best of similar length, on the calling thread.

        Args:
            batch: n lists of at most `context` ids, special tokens included.

        Returns:
            Array of shape (n, 384), rows of unit length.
        """
        ids = np.zeros((len(batch), max(map(len, batch))), np.int64)
        mask = np.zeros_like(ids)
        for row, tokens in enumerate(batch):
            ids[row, : len(tokens)] = tokens
            mask[row, : len(tokens)] = 1
        vectors: NDArray[np.float32]
        (vectors,) = self._session.run(None, {"input_ids": ids, "attention_mask": mask})
        return vectors

    def embed(self, texts: Sequence[str] | Sequence[Tokens]) -> NDArray[np.float32]:
        """Embed texts, or what `tokenize` made of them; over-long ones are cut to the context.

        Returns:
            Array of shape (n, 384), rows of unit length; row i belongs to texts[i].
        """
        plain = [text for text in texts if isinstance(text, str)]
        tokens = (
            self.tokenize(plain) if plain else [ids for ids in texts if not isinstance(ids, str)]
        )
        tokens = [cut(ids, CONTEXT) for ids in tokens]
        vectors = np.empty((len(tokens), DIMENSIONS), np.float32)
        batches = micro_batches(tokens)
        with ThreadPoolExecutor(cores()) as pool:
            results = pool.map(self.run, ([tokens[i] for i in batch] for batch in batches))
            for batch, result in zip(batches, results, strict=True):
                vectors[batch] = result
        return vectors


def cores() -> int:
    """CPU cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)  # Linux only
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def cut(tokens: Tokens, context: int) -> Tokens:
    """The tokens if they fit; else the first ones, so that all fit with the closing [SEP]."""
    return tokens if len(tokens) <= context else [*tokens[: context - 1], tokens[-1]]


def micro_batches(tokens: Sequence[Tokens]) -> list[list[int]]:
    """Indices of the token lists in groups of similar length, the longest first."""
    order = sorted(range(len(tokens)), key=lambda i: -len(tokens[i]))
    return [order[start : start + MICRO_BATCH] for start in range(0, len(order), MICRO_BATCH)]


def build(tensors: Mapping[str, NDArray[np.float32]]) -> Graph:
    """The network: embeddings, six encoder layers, mean over the tokens, unit length."""
    graph = Graph("all-MiniLM-L6-v2")
    graph.input("input_ids", INT64, ["batch", "tokens"])
    graph.input("attention_mask", INT64, ["batch", "tokens"])
    graph.output("embedding", FLOAT, ["batch", DIMENSIONS])
    hidden = _embeddings(graph, tensors)
    graph.node("Cast", ["attention_mask"], "mask", to=INT32)
    for layer in range(_LAYERS):
        hidden = _encoder_layer(graph, tensors, layer, hidden)
    _pooling(graph, hidden)
    return graph


def _embeddings(graph: Graph, tensors: Mapping[str, NDArray[np.float32]]) -> str:
    """Word, position and the one token type: what enters the first layer."""
    prefix = "embeddings."
    word = graph.weight("word", tensors[f"{prefix}word_embeddings.weight"])
    kind = tensors[f"{prefix}token_type_embeddings.weight"][0]
    position = graph.weight("position", tensors[f"{prefix}position_embeddings.weight"] + kind)
    graph.node("Gather", [word, "input_ids"], "words")
    graph.node("Shape", ["input_ids"], "length", start=1, end=2)
    graph.node("Slice", [position, graph.constant("zero", [0]), "length"], "positions")
    graph.node("Add", ["words", "positions"], "embedded")
    scale = graph.weight("scale", tensors[f"{prefix}LayerNorm.weight"])
    shift = graph.weight("shift", tensors[f"{prefix}LayerNorm.bias"])
    return graph.node(
        "LayerNormalization", ["embedded", scale, shift], "hidden", axis=-1, epsilon=_EPSILON
    )


def _encoder_layer(
    graph: Graph, tensors: Mapping[str, NDArray[np.float32]], layer: int, hidden: str
) -> str:
    """Self-attention and feed-forward, each added to its input and normalised."""
    name = f"layer{layer}."
    source = f"encoder.layer.{layer}."

    def bias(path: str) -> str:
        return graph.weight(f"{name}{path}.bias", tensors[f"{source}{path}.bias"])

    def matrix(path: str) -> str:
        return graph.weight(f"{name}{path}.weight", tensors[f"{source}{path}.weight"].T)

    def scale(path: str) -> str:
        return graph.weight(f"{name}{path}.scale", tensors[f"{source}{path}.weight"])

    def residual(values: str, to: str, dense: str, norm: str, output: str) -> str:
        inputs = [values, to, scale(norm), bias(norm), bias(dense)]
        return graph.node(
            "SkipLayerNormalization", inputs, name + output, domain=CONTRIB, epsilon=_EPSILON
        )

    parts = [f"{source}attention.self.{part}" for part in ("query", "key", "value")]
    joint = np.concatenate([tensors[f"{part}.weight"] for part in parts]).T
    joint_bias = np.concatenate([tensors[f"{part}.bias"] for part in parts])
    qkv = [graph.weight(f"{name}qkv", joint), graph.weight(f"{name}qkv.bias", joint_bias)]
    attention = graph.node(
        "Attention",
        [hidden, *qkv, "mask"],
        f"{name}attention",
        domain=CONTRIB,
        num_heads=_HEADS,
    )
    dense = "attention.output.dense"
    projected = graph.node("MatMul", [attention, matrix(dense)], name + "projected")
    attended = residual(projected, hidden, dense, "attention.output.LayerNorm", "attended")
    wide = graph.node("MatMul", [attended, matrix("intermediate.dense")], name + "wide")
    active = graph.node(
        "BiasGelu", [wide, bias("intermediate.dense")], name + "active", domain=CONTRIB
    )
    narrow = graph.node("MatMul", [active, matrix("output.dense")], name + "narrow")
    return residual(narrow, attended, "output.dense", "output.LayerNorm", "hidden")


def _pooling(graph: Graph, hidden: str) -> None:
    axis = graph.constant("one", [1])
    graph.node("Cast", ["attention_mask"], "present", to=FLOAT)
    graph.node("Unsqueeze", ["present", axis], "row")
    graph.node("MatMul", ["row", hidden], "summed")
    graph.node("Squeeze", ["summed", axis], "sum")
    graph.node("ReduceSum", ["present", axis], "count", keepdims=1)
    graph.node("Div", ["sum", "count"], "mean")
    graph.node("LpNormalization", ["mean"], "embedding", axis=1, p=2)


def _session(graph: Graph) -> Any:
    # The official builds report to Microsoft, and leave files in the home folder, unless this is
    # set before they are imported.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime  # type: ignore[import-untyped]  # noqa: PLC0415

    options = onnxruntime.SessionOptions()
    # One thread per run, several runs at once: onnxruntime's own threads spin, and fall to a fifth
    # of the speed on a machine that others use too.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    values = [onnxruntime.OrtValue.ortvalue_from_numpy(array) for array in graph.weights.values()]
    options.add_external_initializers(list(graph.weights), values)
    return onnxruntime.InferenceSession(
        graph.serialize(), options, providers=["CPUExecutionProvider"]
    )

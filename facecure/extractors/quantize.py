"""Graphs in int8: layers between 8-bit activations and 7-bit weights, their ranges measured on faces.

Weights have 7 bits on every processor: the sum of two products of 8 and 7 bits fits 16, in which AVX2 adds them up. Of
8 it would not, and a processor with VNNI, which adds in 32, would give other embeddings.
"""

from __future__ import annotations

import hashlib
import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from facecure.errors import InputError, MissingDependency
from facecure.extractors.graph import Calibration, check_input, sides
from facecure.extractors.spec import ExtractorSpec
from facecure.kernels import Normalise, normalise_faces
from facecure.types import F32, I64, Faces, digest_of

CALIBRATED_ON = 64  # faces, at most: ranges hardly move beyond
_OPERATORS = ["Conv", "Gemm", "MatMul"]
_LAST = 3  # layers: rounding there is all in the embedding (on MobileFaceNets 1 − cosine falls from 0.09 to 0.01)
METHOD = (
    f"{', '.join(_OPERATORS)} but for grouped ones and the last {_LAST}: uint8 by least and largest value; weights "
    "int8, 7 bits, per channel"
)
_BATCH = 8


def spread(count: int) -> I64:
    """Return int64 (≤ `CALIBRATED_ON`,): which of `count` faces calibrate, at equal steps from first to last."""
    return np.unique(np.linspace(0, count - 1, min(count, CALIBRATED_ON)).astype(np.int64))


def quantized(model: Any, spec: ExtractorSpec, faces: Faces) -> tuple[Any, Calibration]:
    """Return an ONNX model in int8, between float32 input and output, and what it was calibrated on.

    All of `faces`, of the spec's geometry, are passed through `model`, in float32; the same faces give the same bytes
    on the same machine. Raises `InputError` without faces or where the model has no layer to quantise,
    `MissingDependency` without onnxruntime.
    """
    try:
        import onnx
        from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
    except ImportError as error:
        raise MissingDependency(error.name or "onnxruntime", "cpu") from error
    if faces.geometry != spec.geometry:
        raise InputError(f"extractor {spec.name}: these faces were cut with another geometry than its spec's")
    if not len(faces.pixels):
        raise InputError(f"extractor {spec.name}: int8 is calibrated on faces, and there are none")
    named = onnx.ModelProto.FromString(model.SerializeToString())
    for number, node in enumerate(named.graph.node):
        node.name = f"{node.op_type}_{number}"  # layers are left out by their names, which a graph need not have
    blocks = _Blocks(spec, model, faces)
    with tempfile.TemporaryDirectory() as folder, _quiet():
        given, file = Path(folder) / "given.onnx", Path(folder) / "quantized.onnx"
        onnx.save(named, given)
        try:
            quantize_static(
                given,
                file,
                blocks,
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=_OPERATORS,
                nodes_to_exclude=_whole(named),
                per_channel=True,
                reduce_range=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                calibrate_method=CalibrationMethod.MinMax,
            )
        except Exception as error:  # whatever a graph of the user's makes it stumble over
            raise InputError(f"extractor {spec.name}: ONNX Runtime cannot quantise its graph: {error}") from error
        made = onnx.load(file)
    if not any(node.op_type == "QuantizeLinear" for node in made.graph.node):
        raise InputError(f"extractor {spec.name}: its graph has no layer that could be quantised; ask for fp32")
    graph = hashlib.sha256(made.graph.SerializeToString(deterministic=True)).hexdigest()
    pictures = hashlib.sha256(faces.pixels.tobytes()).hexdigest()
    return made, Calibration(digest_of([METHOD, pictures, graph]), len(faces.pixels), METHOD)


def _whole(model: Any) -> list[str]:
    """Return the names of the layers that stay float32: the last ones, and grouped ones.

    In a convolution of few channels a group there is little to save, and one range for all channels suits none.
    """
    layers = [node for node in model.graph.node if node.op_type in _OPERATORS]
    grouped = [node for node in layers if any(one.name == "group" and one.i > 1 for one in node.attribute)]
    kept = {node.name for node in (*grouped, *layers[-_LAST:])}
    return sorted(kept) if len(kept) < len(layers) else sorted(node.name for node in grouped)


class _Blocks:
    """Normalised faces, a batch after the other, as the calibrator asks for them."""

    def __init__(self, spec: ExtractorSpec, model: Any, faces: Faces) -> None:
        inputs = {value.name: [side.dim_value or None for side in _dims(value)] for value in _inputs(model)}
        self._name, fixed = check_input(spec, inputs)
        self._blocks = self._made(spec, faces, fixed or _BATCH)

    def get_next(self) -> dict[str, F32] | None:
        """Return the next batch by the input's name, None at the end."""
        block = next(self._blocks, None)
        return None if block is None else {self._name: block}

    @staticmethod
    def _made(spec: ExtractorSpec, faces: Faces, batch: int) -> Iterator[F32]:
        normalise = Normalise(spec.mean, spec.std, spec.colour)
        for first in range(0, len(faces.pixels), batch):
            some = faces.pixels[first : first + batch]
            # the last batch is filled up with its own first face: zeros would be a range that no face has
            some = np.concatenate([some, np.repeat(some[:1], batch - len(some), axis=0)])
            block = np.empty((batch, *sides(spec)), np.float32)
            normalise_faces(some, normalise, block, layout=spec.layout)
            yield block


def _inputs(model: Any) -> list[Any]:
    """Return the inputs that are no weights."""
    weights = {value.name for value in model.graph.initializer}
    return [value for value in model.graph.input if value.name not in weights]


def _dims(value: Any) -> Any:
    return value.type.tensor_type.shape.dim


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the quantiser, which advises on the root logger, from speaking."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)

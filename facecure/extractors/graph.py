"""An extractor as an ONNX graph: the published file itself, or the export of a network."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

from facecure.errors import DigestMismatch, InputError
from facecure.execution import Precision
from facecure.extractors.spec import ExtractorSpec

Shape = Sequence[int | str | None]  # a side is a number, or a name or None where it is open


@dataclass(frozen=True, slots=True)
class Calibration:
    """How a graph in int8 was made: `sha256` is over the `method`, the faces, `pictures` of them, and its values."""

    sha256: str
    pictures: int
    method: str


@dataclass(frozen=True, slots=True)
class Graph:
    """The bytes of an ONNX file, and the SHA-256 of the weights file that it was made of (its own, if it is that).

    `file` is where it lies, for what runtimes keep beside it; `calibration` is there for graphs in int8.
    """

    data: bytes
    weights_sha256: str
    file: Path | None = None
    calibration: Calibration | None = None

    @property
    def sha256(self) -> str:
        """Return the hex SHA-256 of the ONNX file itself."""
        return hashlib.sha256(self.data).hexdigest()


def graph_of(spec: ExtractorSpec, graph: Graph | None, precision: Precision = "fp32") -> Graph:
    """Return what a graph runtime executes for a spec: its weights, if they are ONNX, or its export.

    Raises `InputError` where neither is there or one is in int8 and the other asked for, `DigestMismatch` where the
    export is of another weights file.
    """
    if (precision == "int8") != (graph is not None and graph.calibration is not None):
        raise InputError(
            f"extractor {spec.name}: int8 is asked for, and its graph is not in int8; make it: facecure models export "
            f"{spec.name} --precision int8 --faces DIR"
            if precision == "int8"
            else f"extractor {spec.name}: {precision} is asked for, and its graph is in int8"
        )
    if graph is None:
        if spec.architecture is not None:
            raise InputError(
                f"extractor {spec.name}: only torch executes {spec.weights.name} as it is; make an ONNX file of it: "
                f"facecure models export {spec.name}"
            )
        return Graph(*spec.hashed_weights())
    if spec.sha256 is not None and graph.weights_sha256 != spec.sha256:
        raise DigestMismatch(
            f"extractor {spec.name}: its export was made of weights with SHA-256 {graph.weights_sha256}, its spec says "
            f"{spec.sha256}; export it again with facecure models export {spec.name}"
        )
    return graph


def sides(spec: ExtractorSpec) -> tuple[int, int, int]:
    """Return the sides of one face as the network takes it."""
    height, width = spec.geometry.height, spec.geometry.width
    return (3, height, width) if spec.layout == "NCHW" else (height, width, 3)


def check_input(spec: ExtractorSpec, inputs: Mapping[str, Shape]) -> tuple[str, int | None]:
    """Return the name of a graph's only input, and its batch size where that is fixed.

    Raises `InputError` where there are several, or the shape is not the spec's.
    """
    if len(inputs) != 1:
        raise InputError(f"extractor {spec.name}: the graph has the inputs {list(inputs)}, needs one")
    ((name, shape),) = inputs.items()
    size = sides(spec)
    fits = len(shape) == 4 and all(
        not isinstance(have, int) or have == want for have, want in zip(shape[1:], size, strict=True)
    )
    if not fits:
        raise InputError(f"extractor {spec.name}: the graph takes {list(shape)}, the spec says {('batch', *size)}")
    return name, shape[0] if isinstance(shape[0], int) else None


def find_output(spec: ExtractorSpec, outputs: Mapping[str, Shape]) -> str:
    """Return the name of the only output that can hold the embedding; raises `InputError` where there is no such."""
    known = {name: shape[1:] for name, shape in outputs.items() if all(isinstance(side, int) for side in shape[1:])}
    fitting = [name for name, sides in known.items() if prod(int(side or 0) for side in sides) == spec.embedding_size]
    fitting = fitting or [name for name in outputs if name not in known]  # open: the result is checked instead
    if len(fitting) != 1:
        found = {name: list(shape) for name, shape in outputs.items()}
        raise InputError(f"extractor {spec.name}: no single output of size {spec.embedding_size} among {found}")
    return fitting[0]

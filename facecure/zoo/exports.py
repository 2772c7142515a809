"""Exports of extractors, kept in the cache beside their certificates: a folder per extractor, by its digest."""

from __future__ import annotations

import hashlib
from pathlib import Path

from facecure.certificates.trusted import Certificates
from facecure.errors import InputError
from facecure.execution import Precision
from facecure.extractors.export import exported, graph_in
from facecure.extractors.graph import Graph
from facecure.extractors.quantize import spread
from facecure.extractors.runtimes import graph_precision, runtime_class
from facecure.extractors.spec import ExtractorSpec
from facecure.pictures.detect import Detector
from facecure.pictures.load import stack_faces
from facecure.pictures.manifest import read_samples
from facecure.runs.folder import RunFolder
from facecure.types import Faces
from facecure.zoo.cache import ModelCache


class Exports:
    """One extractor's graphs: `model.onnx`, in lower precisions such as `model-int8.onnx`; and `certificates`.

    To write any of them, enter `folder`.
    """

    def __init__(self, spec: ExtractorSpec, cache: ModelCache | None = None) -> None:
        self.spec = spec
        digest = spec.digest(spec.sha256 or spec.hashed_weights()[1])
        path = (cache or ModelCache()).folder / "exports" / f"{spec.name}-{digest[:16]}"
        self.folder = RunFolder(path, {"extractor": spec.name, "extractor_digest": digest}, what="exports")
        self.certificates = Certificates(self.folder, spec.name)

    def export(self, runtime: str, precision: Precision = "fp32", faces: Faces | None = None) -> Path:
        """Return the file of a graph, written if it is not there yet.

        In int8 it is calibrated on `faces`, and written anew where they are given.
        """
        inside = graph_precision(runtime, precision)
        if faces is not None or not self.folder.done(_name(inside)):
            self.folder.put(_name(inside), exported(self.spec, precision=inside, faces=faces))
        return self.folder.path / _name(inside)

    def graph(self, runtime: str, precision: Precision) -> Graph | None:
        """Return the graph that a runtime needs, None where it needs none.

        Raises `InputError` where it is missing or damaged.
        """
        inside = runtime_class(runtime).graph_precision(precision)
        if inside is None:
            return None
        file = self.folder.path / _name(inside)
        if (data := self.folder.get(_name(inside))) is not None:
            return graph_in(data, file)
        if self.spec.architecture is None and inside != "int8":  # its weights are a graph
            return None
        missing = f"{file} is not what was exported" if file.exists() else f"there is no export for {runtime} yet"
        options = "" if precision == "fp32" else f" --precision {precision}"
        raise InputError(
            f"extractor {self.spec.name}: {missing}; make it: facecure models export {self.spec.name} --runtime "
            f"{runtime}{options}" + (" --faces DIR" if precision == "int8" else "")
        )

    def sha256(self, runtime: str, precision: Precision) -> str | None:
        """Return the SHA-256 of the graph that a runtime takes, None where it takes none or there is none."""
        inside = runtime_class(runtime).graph_precision(precision)
        data = None if inside is None else self.folder.get(_name(inside))
        return None if data is None else hashlib.sha256(data).hexdigest()


def calibrating_faces(spec: ExtractorSpec, folder: Path, detector: Detector | None) -> Faces:
    """Return faces of a folder or manifest, cut for an extractor, that an export in int8 is calibrated on.

    Pictures are taken at equal steps; such as have no face are left out. Raises `InputError` where none is left.
    """
    samples, *_ = read_samples(folder)
    some = [samples[i] for i in spread(len(samples))]
    _, faces, excluded = stack_faces(some, spec.geometry, detector)
    if not len(faces.pixels):
        reason = f", such as {excluded[0].path}: {excluded[0].reason}" if excluded else ""
        raise InputError(f"{folder}: no picture with a face to calibrate {spec.name} on{reason}")
    return faces


def _name(precision: Precision) -> str:
    return "model.onnx" if precision == "fp32" else f"model-{precision}.onnx"

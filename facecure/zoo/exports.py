"""Exports and certificates of extractors, kept in the cache: a folder per extractor, by its digest."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facecure.errors import InputError
from facecure.execution import Precision
from facecure.extractors.export import export_onnx, read_export
from facecure.extractors.graph import Graph
from facecure.extractors.quantize import spread
from facecure.extractors.runtimes import RUNTIMES, graph_precision, runtime_class
from facecure.extractors.spec import ExtractorSpec
from facecure.pictures.detect import Detector, check_detector
from facecure.pictures.load import stack_faces
from facecure.pictures.manifest import read_samples
from facecure.runs.environment import environment
from facecure.types import Faces
from facecure.zoo.cache import ModelCache


@dataclass(frozen=True, slots=True)
class Certified:
    """What a certificate allows: runtime, precision, batch and the runtime's version; `gain` is its speed's ratio."""

    gain: float
    runtime: str
    precision: Precision
    batch: int
    version: str


class Exports:
    """One extractor's folder: `model.onnx`, in lower precisions such as `model-int8.onnx`, and certificates."""

    def __init__(self, spec: ExtractorSpec, cache: ModelCache | None = None) -> None:
        self.spec = spec
        sha256 = spec.sha256 or spec.hashed_weights()[1]
        self.folder = (cache or ModelCache()).folder / "exports" / f"{spec.name}-{spec.digest(sha256)[:16]}"

    def file(self, runtime: str, precision: Precision) -> Path:
        """Return where the graph of a runtime lies."""
        inside = graph_precision(runtime, precision)
        return self.folder / ("model.onnx" if inside == "fp32" else f"model-{inside}.onnx")

    def export(self, runtime: str, precision: Precision = "fp32", faces: Faces | None = None) -> Path:
        """Return the file of a graph, written if it is not there yet.

        In int8 it is calibrated on `faces`, and written anew where they are given.
        """
        file = self.file(runtime, precision)
        if not file.is_file() or faces is not None:
            export_onnx(self.spec, file, precision=graph_precision(runtime, precision), faces=faces)
        return file

    def graph(self, runtime: str, precision: Precision) -> Graph | None:
        """Return the graph that a runtime needs, None where it needs none; raises `InputError` where it is missing."""
        needed = runtime_class(runtime).graph_precision(precision)
        if needed is None:
            return None
        there = self.file(runtime, precision).is_file()
        if self.spec.architecture is None and needed != "int8" and not there:
            return None
        if not there:
            options = "" if precision == "fp32" else f" --precision {precision}"
            raise InputError(
                f"extractor {self.spec.name}: there is no export for {runtime} yet; make it: facecure models export "
                f"{self.spec.name} --runtime {runtime}{options}" + (" --faces DIR" if precision == "int8" else "")
            )
        return read_export(self.file(runtime, precision))

    def certificate(self, runtime: str, precision: Precision, device: str = "cpu") -> Path:
        """Return where the certificate of a runtime and precision on a kind of device lies."""
        return self.folder / f"certificate-{runtime}-{precision}-{device.partition(':')[0]}.json"

    def certified(self, device: str = "cpu") -> tuple[list[Certified], list[str]]:
        """Return what is certified for the present export on a kind of device, the fastest first, and what elsewhere.

        What is slower than the reference, the default runtime in float32, was beside it is left out. On a CPU, what was
        certified on another kind of processor (other vector instructions, or bfloat16) is a sentence saying so.
        """
        found, elsewhere = [], []
        here = processor(environment())
        for runtime in RUNTIMES:
            for precision in runtime_class(runtime).precisions:
                known = self._read(self.certificate(runtime, precision, device))
                if known.get("certified") and known["export_sha256"] == self._sha256(runtime, precision):
                    there = processor(known["environment"])
                    if device == "cpu" and there != here:
                        elsewhere.append(
                            f"{runtime} {precision} was certified on another kind of processor ({there}; here {here}): "
                            "certify again"
                        )
                        continue
                    gain = known["faces_per_second"] / known["reference_faces_per_second"]
                    version = known["environment"]["extractor"]["runtime"]
                    found.append(Certified(gain, runtime, precision, known["batch"], version))
        return [one for one in sorted(found, key=lambda one: -one.gain) if one.gain > 1], elsewhere

    def _sha256(self, runtime: str, precision: Precision) -> str | None:
        if runtime_class(runtime).graph_precision(precision) and not self.file(runtime, precision).is_file():
            return None
        graph = self.graph(runtime, precision)
        return None if graph is None else graph.sha256

    @staticmethod
    def _read(file: Path) -> dict[str, Any]:
        try:
            known: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise InputError(f"{file}: {error}; delete it and certify again") from error
        return known


def calibrating_faces(spec: ExtractorSpec, folder: Path, detector: Detector | None) -> Faces:
    """Return faces of a folder or manifest, cut for an extractor, that an export in int8 is calibrated on.

    Pictures are taken at equal steps; such as have no face are left out. Raises `InputError` where none is left, or a
    detector is needed and missing.
    """
    check_detector([spec.name] if spec.geometry.found else [], detector)
    samples, *_ = read_samples(folder)
    some = [samples[i] for i in spread(len(samples))]
    _, faces, excluded = stack_faces(some, spec.geometry, detector)
    if not len(faces.pixels):
        reason = f", such as {excluded[0].path}: {excluded[0].reason}" if excluded else ""
        raise InputError(f"{folder}: no picture with a face to calibrate {spec.name} on{reason}")
    return faces


def processor(facts: dict[str, Any]) -> str:
    """Return the kind of processor that an environment states: what decides which precision is the fastest."""
    return f"{facts.get('cpu_simd')}, {'bfloat16' if facts.get('cpu_bf16') else 'no bfloat16'}"

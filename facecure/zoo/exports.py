"""Exports and certificates of extractors, kept in the cache: a folder per extractor, by its digest."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facecure.errors import InputError
from facecure.extractors.export import export_onnx, read_export
from facecure.extractors.graph import Graph
from facecure.extractors.runtimes import RUNTIMES, Runtime
from facecure.extractors.spec import ExtractorSpec, Precision
from facecure.zoo.cache import ModelCache


@dataclass(frozen=True, slots=True)
class Certified:
    """What a certificate allows: runtime, precision, batch and the runtime's version; `gain` is its speed's ratio."""

    gain: float
    runtime: Runtime
    precision: Precision
    batch: int
    version: str


class Exports:
    """One extractor's folder: `model.onnx`, in lower precisions `model-bf16.onnx`, and certificates."""

    def __init__(self, spec: ExtractorSpec, cache: ModelCache | None = None) -> None:
        self.spec = spec
        sha256 = spec.sha256 or spec.hashed_weights()[1]
        self.folder = (cache or ModelCache()).folder / "exports" / f"{spec.name}-{spec.digest(sha256)[:16]}"

    def file(self, runtime: Runtime, precision: Precision) -> Path:
        """Return where the graph of a runtime lies; only TensorRT's has the precision inside."""
        lower = runtime == "tensorrt" and precision != "fp32"
        return self.folder / (f"model-{precision}.onnx" if lower else "model.onnx")

    def export(self, runtime: Runtime, precision: Precision = "fp32") -> Path:
        """Return the file of a graph, written if it is not there yet."""
        file = self.file(runtime, precision)
        if not file.is_file():
            export_onnx(self.spec, file, precision=precision if runtime == "tensorrt" else "fp32")
        return file

    def graph(self, runtime: Runtime, precision: Precision) -> Graph | None:
        """Return the graph that a runtime needs, None where it needs none; raises `InputError` where it is missing."""
        if runtime == "torch" or (self.spec.architecture is None and not self.file(runtime, precision).is_file()):
            return None
        if not self.file(runtime, precision).is_file():
            raise InputError(
                f"extractor {self.spec.name}: there is no export for {runtime} yet; make it: facecure models export "
                f"{self.spec.name} --runtime {runtime}" + (f" --precision {precision}" if precision != "fp32" else "")
            )
        return read_export(self.file(runtime, precision))

    def certificate(self, runtime: Runtime, precision: Precision, device: str = "cpu") -> Path:
        """Return where the certificate of a runtime and precision on a kind of device lies."""
        return self.folder / f"certificate-{runtime}-{precision}-{device.partition(':')[0]}.json"

    def certified(self, device: str = "cpu") -> list[Certified]:
        """Return what is certified for the present export on a kind of device, the fastest first.

        What is slower than the reference, the default runtime in float32, was beside it is left out.
        """
        found = []
        for runtime, precisions in RUNTIMES.items():
            for precision in precisions:
                known = self._read(self.certificate(runtime, precision, device))
                if known.get("certified") and known["export_sha256"] == self._sha256(runtime, precision):
                    gain = known["faces_per_second"] / known["reference_faces_per_second"]
                    version = known["environment"]["extractor"]["runtime"]
                    found.append(Certified(gain, runtime, precision, known["batch"], version))
        return [one for one in sorted(found, key=lambda one: -one.gain) if one.gain > 1]

    def _sha256(self, runtime: Runtime, precision: Precision) -> str | None:
        graph = None if runtime == "torch" else self.graph(runtime, precision)
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

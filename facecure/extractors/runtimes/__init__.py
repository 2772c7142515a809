"""What executes an extractor; each runtime is imported when its first extractor is opened."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from facecure.errors import InputError
from facecure.execution import Execution, Precision
from facecure.extractors.graph import Graph
from facecure.extractors.runtimes.alone import check_alone
from facecure.extractors.spec import ExtractorSpec
from facecure.registry import class_of

if TYPE_CHECKING:
    from facecure.extractors.runtimes.fixed_batch import FixedBatchExtractor

RUNTIMES = {
    "torch": "facecure.extractors.runtimes.torch:TorchExtractor",
    "onnx": "facecure.extractors.runtimes.onnx:OnnxExtractor",
    "openvino": "facecure.extractors.runtimes.openvino:OpenVinoExtractor",
    "tensorrt": "facecure.extractors.runtimes.tensorrt:TensorRtExtractor",
}


def runtime_class(name: str) -> type[FixedBatchExtractor]:
    """Return the class of extractors that a runtime executes; raises `InputError` for an unknown name."""
    found: type[FixedBatchExtractor] = class_of(RUNTIMES, name, "runtime")
    return found


def exported_for() -> list[str]:
    """Return the runtimes that take a graph, which is what an export is made for."""
    return [name for name in RUNTIMES if runtime_class(name).graph_precision("fp32") is not None]


def default_runtime(spec: ExtractorSpec) -> str:
    """Return what executes an extractor unless another runtime is asked for: what its own weights file needs."""
    return "torch" if spec.architecture is not None else "onnx"


def graph_precision(runtime: str, precision: Precision) -> Precision:
    """Return the precision of the graph that a runtime takes; raises `InputError` where it takes none."""
    inside = runtime_class(runtime).graph_precision(precision)
    if inside is None:
        raise InputError(f"{runtime} executes the network itself, so there is nothing to export for it")
    return inside


def open_extractor(
    spec: ExtractorSpec, execution: Execution = Execution(), *, graph: Graph | None = None
) -> FixedBatchExtractor:
    """Return the extractor of a spec, executed by its default runtime or by the one that is asked for.

    `graph` is its ONNX export, which runtimes other than torch need where the weights are not an ONNX file. Raises
    `InputError` for a precision or device that a runtime does not have, a missing graph, or a network whose embedding
    of a face depends on the faces beside it, `MissingDependency` for a runtime that is not installed.
    """
    execution = replace(execution, runtime=execution.runtime or default_runtime(spec))
    runtime = str(execution.runtime)
    kind = runtime_class(runtime)
    if execution.precision not in kind.precisions:
        raise InputError(f"{runtime} computes in {' or '.join(kind.precisions)}, not {execution.precision}")
    if execution.kind not in kind.devices:
        raise InputError(f"{runtime} runs on {' or '.join(kind.devices)}, not on {execution.device!r}")
    extractor: FixedBatchExtractor = class_of(RUNTIMES, runtime, "runtime")(spec, execution, graph=graph)
    check_alone(extractor)
    return extractor

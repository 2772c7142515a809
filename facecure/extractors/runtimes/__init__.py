"""What executes an extractor; each runtime is imported when its first extractor is opened."""

from __future__ import annotations

from typing import Literal

from facecure.errors import InputError
from facecure.execution import Precision
from facecure.extractors.graph import Graph
from facecure.extractors.runtimes.alone import check_alone
from facecure.extractors.runtimes.fixed_batch import FixedBatchExtractor
from facecure.extractors.spec import ExtractorSpec

Runtime = Literal["torch", "onnx", "openvino", "tensorrt"]
RUNTIMES: dict[Runtime, tuple[Precision, ...]] = {
    "torch": ("fp32", "bf16", "fp16"),
    "onnx": ("fp32", "int8"),
    "openvino": ("fp32", "bf16", "int8"),
    "tensorrt": ("fp32", "bf16", "fp16"),
}
DEVICES: dict[Runtime, tuple[str, ...]] = {
    "torch": ("cpu", "cuda"),
    "onnx": ("cpu", "cuda"),
    "openvino": ("cpu",),
    "tensorrt": ("cuda",),
}


def graph_precision(runtime: Runtime, precision: Precision) -> Precision:
    """Return the precision that the graph of a runtime is in: TensorRT's has each inside, others' only int8."""
    return precision if runtime == "tensorrt" or precision == "int8" else "fp32"


def default_runtime(spec: ExtractorSpec) -> Runtime:
    """Return what executes an extractor unless another runtime is asked for: what its own weights file needs."""
    return "torch" if spec.architecture is not None else "onnx"


def open_extractor(
    spec: ExtractorSpec,
    runtime: Runtime | None = None,
    precision: Precision = "fp32",
    *,
    graph: Graph | None = None,
    threads: int = 0,
    batch: int | None = None,
    device: str = "cpu",
) -> FixedBatchExtractor:
    """Return the extractor of a spec, executed by its default runtime or by another.

    `graph` is its ONNX export, which runtimes other than torch need where the weights are no ONNX file. `batch` is the
    number of faces in a pass, None what suits the runtime; `device` is "cpu", or "cuda" or "cuda:1". Raises
    `InputError` for a precision or device that a runtime does not have, a missing graph, or a network whose embedding
    of a face depends on the faces beside it, `MissingDependency` for a runtime that is not installed.
    """
    extractor = _opened(spec, runtime or default_runtime(spec), precision, graph, threads, batch, device)
    check_alone(extractor)
    return extractor


def _opened(
    spec: ExtractorSpec, runtime: Runtime, precision: Precision, graph: Graph | None, threads: int, batch: int | None,
    device: str,
) -> FixedBatchExtractor:  # fmt: skip
    if runtime not in RUNTIMES:
        raise InputError(f"runtime is one of {', '.join(RUNTIMES)}, not {runtime!r}")
    if precision not in RUNTIMES[runtime]:
        raise InputError(f"{runtime} computes in {' or '.join(RUNTIMES[runtime])}, not {precision}")
    if device.partition(":")[0] not in DEVICES[runtime]:
        raise InputError(f"{runtime} runs on {' or '.join(DEVICES[runtime])}, not on {device!r}; see --device")
    if runtime == "torch":
        from facecure.extractors.runtimes.torch import TorchExtractor

        return TorchExtractor(spec, precision=precision, threads=threads, batch=batch, device=device)
    if runtime == "onnx":
        from facecure.extractors.runtimes.onnx import OnnxExtractor

        return OnnxExtractor(spec, graph=graph, precision=precision, threads=threads, batch=batch, device=device)
    if runtime == "openvino":
        from facecure.extractors.runtimes.openvino import OpenVinoExtractor

        return OpenVinoExtractor(spec, graph=graph, precision=precision, threads=threads, batch=batch)
    from facecure.extractors.runtimes.tensorrt import TensorRtExtractor

    return TensorRtExtractor(spec, graph=graph, precision=precision, batch=batch, device=device)

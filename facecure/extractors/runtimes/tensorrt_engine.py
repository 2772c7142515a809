"""TensorRT engines: built for the GPU of this machine, kept beside the ONNX file and disposable.

Written against the 11.x Python API: networks are strongly typed there, so that the precision is that of the ONNX graph
(docs.nvidia.com/deeplearning/tensorrt, "Migrating from TensorRT 10.x to 11.x"). Never run yet; see README.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from facecure.errors import InputError, MissingDependency
from facecure.execution import Precision
from facecure.extractors.graph import Graph, check_input
from facecure.extractors.spec import ExtractorSpec
from facecure.runs.atomic import write_whole
from facecure.types import digest_of

_WORKSPACE = 4 << 30  # bytes for one layer's intermediate values: by default all of the GPU's, whatever others hold


@dataclass(frozen=True, slots=True)
class Target:
    """What an engine is built for: the shape of its input, its precision, and the GPU by name and architecture."""

    shape: tuple[int, ...]
    precision: Precision
    gpu: str
    architecture: str


def fixed_batch(spec: ExtractorSpec, graph: Graph, precision: Precision) -> int | None:
    """Return a graph's batch where that is fixed.

    Raises `InputError` where its input is not the spec's, or its weights are of another precision than the one asked
    for: TensorRT runs what it is given, and the report would name what was asked for.
    """
    try:
        import onnx
    except ImportError as error:
        raise MissingDependency("onnx", "gpu") from error

    try:
        model = onnx.load_from_string(graph.data).graph
    except Exception as error:  # protobuf's own kinds
        raise InputError(f"extractor {spec.name}: its graph is not an ONNX file: {error}") from error
    names = {onnx.TensorProto.FLOAT16: "fp16", onnx.TensorProto.BFLOAT16: "bf16"}
    lower = {names[weights.data_type] for weights in model.initializer if weights.data_type in names}
    found = lower or {"fp32"}
    if found != {precision}:
        raise InputError(
            f"extractor {spec.name}: asked for {precision}, the weights of its graph are {' and '.join(sorted(found))}"
        )
    weights = {tensor.name for tensor in model.initializer}  # old files list them among the inputs
    inputs = {
        value.name: [side.dim_value or None for side in value.type.tensor_type.shape.dim]
        for value in model.input
        if value.name not in weights
    }
    return check_input(spec, inputs)[1]


def open_engine(tensorrt: Any, spec: ExtractorSpec, graph: Graph, target: Target) -> Any:
    """Return the engine of a graph for the current GPU: the one kept beside the graph's file, or a new one, kept there.

    What is kept and cannot be loaded is built again. Raises `InputError` where TensorRT builds none.
    """
    logger = tensorrt.Logger(tensorrt.Logger.ERROR)
    runtime = tensorrt.Runtime(logger)
    version = tensorrt.__version__
    key = digest_of([graph.sha256, *astuple(target), version])[:16]
    kept = timings = None
    if graph.file is not None:
        kept = graph.file.with_name(f"{graph.file.stem}-{target.architecture}-{key}.engine")
        timings = graph.file.with_name(f"{target.architecture}-{version}.timing")
    if kept is not None and kept.is_file():
        engine = runtime.deserialize_cuda_engine(kept.read_bytes())
        if engine is not None:
            return engine
    plan = build_engine(tensorrt, logger, spec, graph, target, timings)
    engine = runtime.deserialize_cuda_engine(plan)
    if engine is None:
        raise InputError(f"extractor {spec.name}: TensorRT cannot load the engine that it built; it has printed why")
    if kept is not None:
        write_whole(kept, plan)
    return engine


def build_engine(
    tensorrt: Any, logger: Any, spec: ExtractorSpec, graph: Graph, target: Target, timings: Path | None
) -> bytes:
    """Return a serialised engine for the current GPU.

    The times of the kernels that were tried are read from the file `timings` and written there. Raises `InputError`
    where TensorRT cannot read the graph or builds no engine of it.
    """
    builder = tensorrt.Builder(logger)
    network = builder.create_network()
    parser = tensorrt.OnnxParser(network, logger)
    if not parser.parse(graph.data):
        reasons = "; ".join(str(parser.get_error(i)) for i in range(parser.num_errors))
        raise InputError(f"extractor {spec.name}: TensorRT cannot read the graph: {reasons}")
    config = builder.create_builder_config()
    config.set_memory_pool_limit(tensorrt.MemoryPoolType.WORKSPACE, _WORKSPACE)
    if target.precision == "fp32":
        config.clear_flag(tensorrt.BuilderFlag.TF32)  # set by default: 10 bits where float32 has 23
    profile = builder.create_optimization_profile()
    # every pass has this shape; where the graph's own is fixed it is the same, which a profile may say
    profile.set_shape(network.get_input(0).name, target.shape, target.shape, target.shape)
    config.add_optimization_profile(profile)
    _set_timings(config, timings)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise InputError(f"extractor {spec.name}: TensorRT built no engine; it has printed why")
    if timings is not None:
        write_whole(timings, bytes(config.get_timing_cache().serialize()))
    return bytes(plan)


def _set_timings(config: Any, file: Path | None) -> None:
    """Give a builder's configuration a timing cache: the file's, or a new one where that is refused."""
    if file is not None and file.is_file():
        known = config.create_timing_cache(file.read_bytes())
        if known is not None and config.set_timing_cache(known, ignore_mismatch=False):
            return
    config.set_timing_cache(config.create_timing_cache(b""), ignore_mismatch=False)

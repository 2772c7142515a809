"""TensorRT 11 on an NVIDIA GPU, each pass one replay of a CUDA graph. Never run yet; see README."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from facecure.errors import InputError, MissingDependency
from facecure.execution import Execution, Precision, torch_device
from facecure.extractors.graph import Graph, find_output, graph_of, sides
from facecure.extractors.runtimes.cuda_pass import CudaPass
from facecure.extractors.runtimes.fixed_batch import BATCH, FixedBatchExtractor
from facecure.extractors.runtimes.tensorrt_engine import Target, fixed_batch, open_engine
from facecure.extractors.spec import ExtractorSpec
from facecure.types import F32

if TYPE_CHECKING:
    from torch import Tensor

_OLDEST = 11  # major version: before it a network's types are suggestions


class TensorRtExtractor(FixedBatchExtractor):
    """An extractor executed by TensorRT; two passes are under way at once."""

    precisions = ("fp32", "bf16", "fp16")
    devices = ("cuda",)
    depth = 2

    @classmethod
    def graph_precision(cls, precision: Precision) -> Precision:
        """Return the same: TensorRT 11 executes a graph in the types that stand in it."""
        return precision

    def __init__(self, spec: ExtractorSpec, execution: Execution, *, graph: Graph | None = None) -> None:
        try:
            import torch
        except ImportError as error:
            raise MissingDependency("torch", "gpu") from error
        try:
            import tensorrt
        except ImportError as error:
            raise MissingDependency("tensorrt", "tensorrt") from error
        if int(tensorrt.__version__.partition(".")[0]) < _OLDEST:
            raise MissingDependency(f"tensorrt {_OLDEST}", "tensorrt")
        self._device = torch_device(execution.device)
        graph = graph_of(spec, graph)
        super().__init__(spec, graph.weights_sha256, execution)
        self.batch = fixed_batch(spec, graph, execution.precision) or execution.batch or BATCH["cuda"]
        shape = (self.batch, *sides(spec))
        major, minor = torch.cuda.get_device_capability(self._device)
        target = Target(shape, execution.precision, torch.cuda.get_device_name(self._device), f"sm{major}{minor}")
        with torch.cuda.device(self._device):  # TensorRT builds for and loads to the current one
            engine = open_engine(tensorrt, spec, graph, target)
            # kept: the captured graphs use the memory of their contexts
            self._contexts = [_Context(tensorrt, spec, engine, shape) for _ in range(self.depth)]
            self._passes_there = [CudaPass(context, shape, self._device) for context in self._contexts]

    @cached_property
    def _blocks(self) -> list[F32]:
        return [one.block for one in self._passes_there]

    def _runtime(self) -> dict[str, Any]:
        import tensorrt
        import torch

        return {"runtime": f"tensorrt {tensorrt.__version__}", "device": torch.cuda.get_device_name(self._device)}

    def _start(self, number: int) -> Callable[[], F32]:
        return self._passes_there[number].start()


class _Context:
    """An engine's pass over faces that always lie at the same place; contexts of one engine may run at once."""

    def __init__(self, tensorrt: Any, spec: ExtractorSpec, engine: Any, shape: tuple[int, ...]) -> None:
        self._spec = spec
        names = [engine.get_tensor_name(i) for i in range(engine.num_io_tensors)]
        for name in names:
            kind = engine.get_tensor_dtype(name)
            if kind != tensorrt.DataType.FLOAT:
                raise InputError(f"extractor {spec.name}: {name} of the graph is {kind}; in and out it must be float32")
        self._context = engine.create_execution_context()
        if self._context is None:
            raise InputError(f"extractor {spec.name}: TensorRT has no place for a pass on the GPU; ask for fewer faces")
        (self._input,) = [name for name in names if engine.get_tensor_mode(name) == tensorrt.TensorIOMode.INPUT]
        self._check(self._context.set_input_shape(self._input, shape), f"input of shape {shape}")
        self._outputs = {name: tuple(self._context.get_tensor_shape(name)) for name in names if name != self._input}
        if any(side < 0 for sizes in self._outputs.values() for side in sizes):
            raise InputError(f"extractor {spec.name}: sizes of the graph's outputs depend on the faces' values")
        self._output = find_output(spec, self._outputs)
        self._places: dict[str, Tensor] = {}

    def __call__(self, faces: Tensor) -> Tensor:
        """Return where the raw embeddings will be; the pass is queued on torch's current stream."""
        import torch

        if not self._places:  # in the first pass, which is not captured
            self._places = {name: torch.empty(sizes, device=faces.device) for name, sizes in self._outputs.items()}
            for name, place in {self._input: faces, **self._places}.items():  # outputs nobody reads need one too
                self._check(self._context.set_tensor_address(name, place.data_ptr()), f"place of {name}")
        stream = torch.cuda.current_stream(faces.device)
        self._check(self._context.execute_async_v3(stream.cuda_stream), "pass")
        return self._places[self._output]

    def _check(self, done: bool, what: str) -> None:
        if not done:
            raise InputError(f"extractor {self._spec.name}: TensorRT refuses the {what}; it has printed why")

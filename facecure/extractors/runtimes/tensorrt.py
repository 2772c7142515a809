"""TensorRT 11 on an NVIDIA GPU: engines built for this machine, kept beside the ONNX file and disposable.

Written against the 11.x Python API: networks are strongly typed there, so that the precision is that of the ONNX graph
(docs.nvidia.com/deeplearning/tensorrt, "Migrating from TensorRT 10.x to 11.x"). Never run yet; see README.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from facecure.atomic import write_whole
from facecure.errors import InputError, MissingDependency
from facecure.extractors.graph import Graph, check_input, find_output, graph_of, sides
from facecure.extractors.runtimes.fixed_batch import FixedBatchExtractor
from facecure.extractors.spec import ExtractorSpec, Precision
from facecure.kernels.device import torch_device
from facecure.types import F32, digest_of

_WORKSPACE = 4 << 30  # bytes that the builder may use


class TensorRtExtractor(FixedBatchExtractor):
    """An extractor executed by TensorRT, each pass one replay of a CUDA graph."""

    def __init__(
        self, spec: ExtractorSpec, *, graph: Graph | None = None, precision: Precision = "fp32", batch: int = 256,
        device: str = "cuda:0",
    ) -> None:  # fmt: skip
        try:
            import tensorrt
            import torch
        except ImportError as error:
            missing = error.name or "tensorrt"
            raise MissingDependency(missing, "tensorrt" if missing.startswith("tensorrt") else "gpu") from error
        self._device = torch_device(device)
        graph = graph_of(spec, graph)
        super().__init__(spec, graph.weights_sha256, 0, precision)
        self.batch = batch
        self._logger = tensorrt.Logger(tensorrt.Logger.ERROR)
        plan = self._plan(tensorrt, graph)
        with torch.cuda.device(self._device):
            self._engine = tensorrt.Runtime(self._logger).deserialize_cuda_engine(plan)
            if self._engine is None:
                raise InputError(f"extractor {spec.name}: TensorRT cannot load the engine it built; delete it")
            self._context = self._engine.create_execution_context()
            names = [self._engine.get_tensor_name(i) for i in range(self._engine.num_io_tensors)]
            mode = {name: self._engine.get_tensor_mode(name) for name in names}
            (given,) = [name for name in names if mode[name] == tensorrt.TensorIOMode.INPUT]
            shapes = {name: tuple(self._engine.get_tensor_shape(name)) for name in names if name != given}
            output = find_output(spec, {name: [None if s < 0 else s for s in shape] for name, shape in shapes.items()})
            shape = (batch, *sides(spec))
            self._context.set_input_shape(given, shape)
            self._pinned = torch.empty(shape, pin_memory=True)
            self._faces = torch.empty(shape, device=self._device)
            self._result = torch.empty(batch, spec.embedding_size, device=self._device)
            self._others = [  # outputs that nobody reads need a place too
                torch.empty(tuple(self._context.get_tensor_shape(name)), device=self._device)
                for name in shapes
                if name != output
            ]
            self._context.set_tensor_address(given, self._faces.data_ptr())
            self._context.set_tensor_address(output, self._result.data_ptr())
            for name, place in zip([name for name in shapes if name != output], self._others, strict=True):
                self._context.set_tensor_address(name, place.data_ptr())
            self._stream = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
            self._captured = self._capture(torch)

    def _plan(self, tensorrt: Any, graph: Graph) -> bytes:
        """Return a serialised engine for this GPU, from beside the graph's file or built and kept there."""
        import torch

        spec, face = self.spec, sides(self.spec)
        major, minor = torch.cuda.get_device_capability(self._device)
        key = digest_of([graph.sha256, self.batch, self.precision, major, minor, tensorrt.__version__])[:16]
        kept = None if graph.file is None else graph.file.with_name(f"{graph.file.stem}-sm{major}{minor}-{key}.engine")
        if kept is not None and kept.is_file():
            return kept.read_bytes()
        builder = tensorrt.Builder(self._logger)
        network = builder.create_network()
        parser = tensorrt.OnnxParser(network, self._logger)
        if not parser.parse(graph.data):
            reasons = "; ".join(str(parser.get_error(i)) for i in range(parser.num_errors))
            raise InputError(f"extractor {spec.name}: TensorRT cannot read the graph: {reasons}")
        inputs = [network.get_input(i) for i in range(network.num_inputs)]
        name, _ = check_input(spec, {i.name: [None if side < 0 else side for side in i.shape] for i in inputs})
        config = builder.create_builder_config()
        config.set_memory_pool_limit(tensorrt.MemoryPoolType.WORKSPACE, _WORKSPACE)
        if self.precision == "fp32":
            config.clear_flag(tensorrt.BuilderFlag.TF32)  # set by default: 10 bits instead of 23
        profile = builder.create_optimization_profile()
        profile.set_shape(name, (1, *face), (self.batch, *face), (self.batch, *face))
        config.add_optimization_profile(profile)
        timings = None if kept is None else kept.with_name(f"sm{major}{minor}-{tensorrt.__version__}.timing")
        cache = config.create_timing_cache(timings.read_bytes() if timings is not None and timings.is_file() else b"")
        config.set_timing_cache(cache, ignore_mismatch=False)
        plan = builder.build_serialized_network(network, config)
        if plan is None:
            raise InputError(f"extractor {spec.name}: TensorRT built no engine; its reasons are on standard error")
        if kept is not None and timings is not None:
            write_whole(timings, bytes(config.get_timing_cache().serialize()))
            write_whole(kept, bytes(plan))
        return bytes(plan)

    def _capture(self, torch: Any) -> Any:
        """Return the engine's pass over the fixed buffers as a CUDA graph."""
        with torch.cuda.stream(self._stream):
            self._context.execute_async_v3(self._stream.cuda_stream)  # once outside, for what it sets up
        self._stream.synchronize()
        captured = torch.cuda.CUDAGraph()
        with torch.cuda.graph(captured, stream=self._stream):
            self._context.execute_async_v3(self._stream.cuda_stream)
        return captured

    def _runtime(self) -> dict[str, Any]:
        import tensorrt
        import torch

        return {"runtime": f"tensorrt {tensorrt.__version__}", "device": torch.cuda.get_device_name(self._device)}

    def _forward(self, block: F32) -> F32:
        import torch

        self._pinned.numpy()[:] = block
        with torch.cuda.stream(self._stream):
            self._faces.copy_(self._pinned, non_blocking=True)
            self._captured.replay()
            rows = self._result.to("cpu", non_blocking=True)
        self._stream.synchronize()
        return np.asarray(rows.numpy())

"""ONNX Runtime on the CPU: the embedded default."""

from __future__ import annotations

from typing import Any

import numpy as np

from facecure.errors import InputError, MissingDependency
from facecure.extractors.graph import Graph, check_input, find_output, graph_of
from facecure.extractors.runtimes.fixed_batch import FixedBatchExtractor
from facecure.extractors.spec import ExtractorSpec
from facecure.types import F32

_PROVIDER = "CPUExecutionProvider"
_INPUT_TYPES: dict[str, type[np.floating[Any]]] = {"tensor(float)": np.float32, "tensor(float16)": np.float16}


class OnnxExtractor(FixedBatchExtractor):
    """An extractor executed by ONNX Runtime."""

    def __init__(self, spec: ExtractorSpec, *, graph: Graph | None = None, threads: int = 0, batch: int = 8) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise MissingDependency("onnxruntime", "cpu") from error
        graph = graph_of(spec, graph)
        super().__init__(spec, graph.weights_sha256, threads)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            # from the verified bytes: values kept in other files, which no digest covers, cannot be loaded this way
            self._session = onnxruntime.InferenceSession(graph.data, options, providers=[_PROVIDER])
        except Exception as error:  # its exceptions share no public base class
            raise InputError(f"extractor {spec.name}: ONNX Runtime cannot load {spec.weights}: {error}") from error
        self.providers = self._session.get_providers()
        if self.providers != [_PROVIDER]:
            raise InputError(f"extractor {spec.name}: asked for {_PROVIDER}, ONNX Runtime runs {self.providers}")
        self._input, fixed = check_input(spec, {i.name: i.shape for i in self._session.get_inputs()})
        kind = self._session.get_inputs()[0].type
        if kind not in _INPUT_TYPES:
            raise InputError(f"extractor {spec.name}: the graph takes {kind}; float and float16 are supported")
        self._dtype = _INPUT_TYPES[kind]
        self.precision = "fp32" if self._dtype is np.float32 else "fp16"  # the file's own, which its hash covers
        self._output = find_output(spec, {o.name: o.shape for o in self._session.get_outputs()})
        self.batch = fixed or batch

    def _runtime(self) -> dict[str, Any]:
        import onnxruntime

        return {"runtime": f"onnxruntime {onnxruntime.__version__}", "providers": self.providers, "device": "cpu"}

    def _forward(self, block: F32) -> F32:
        (result,) = self._session.run([self._output], {self._input: block.astype(self._dtype, copy=False)})
        return result  # type: ignore[no-any-return]

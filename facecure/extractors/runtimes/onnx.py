"""ONNX Runtime: on the CPU the embedded default, on request on an NVIDIA GPU."""

from __future__ import annotations

from typing import Any

import numpy as np

from facecure.errors import InputError, MissingDependency
from facecure.execution import Execution
from facecure.extractors.graph import Graph, check_input, find_output, graph_of
from facecure.extractors.runtimes.fixed_batch import BATCH, FixedBatchExtractor
from facecure.extractors.spec import ExtractorSpec
from facecure.types import F32

_CPU, _CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
_INPUT_TYPES: dict[str, type[np.floating[Any]]] = {"tensor(float)": np.float32, "tensor(float16)": np.float16}


class OnnxExtractor(FixedBatchExtractor):
    """An extractor executed by ONNX Runtime."""

    precisions = ("fp32", "int8")
    devices = ("cpu", "cuda")

    def __init__(self, spec: ExtractorSpec, execution: Execution = Execution(), *, graph: Graph | None = None) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise MissingDependency("onnxruntime", "cpu" if execution.kind == "cpu" else "gpu") from error
        self._device, _, number = execution.device.partition(":")
        if execution.precision == "int8" and self._device != "cpu":
            raise InputError(f"extractor {spec.name}: int8 runs on cpu, not on {execution.device!r}")
        graph = graph_of(spec, graph, execution.precision)
        super().__init__(spec, graph.weights_sha256, execution, graph.calibration)
        wanted: list[Any] = [_CPU]
        if self._device == "cuda":
            # TF32, its default, has 10 bits where float32 has 23
            wanted = [(_CUDA, {"device_id": int(number or 0), "use_tf32": 0}), _CPU]
            if _CUDA not in onnxruntime.get_available_providers():
                raise MissingDependency("onnxruntime-gpu", "gpu")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.force_spinning_stop", "1")  # between passes others need the CPUs
        options.log_severity_level = 3
        try:
            # from the verified bytes: values kept in other files, which no digest covers, cannot be loaded this way
            self._session = onnxruntime.InferenceSession(graph.data, options, providers=wanted)
        except Exception as error:  # its exceptions share no public base class
            raise InputError(f"extractor {spec.name}: ONNX Runtime cannot load {spec.weights}: {error}") from error
        self.providers = self._session.get_providers()
        asked = [one if isinstance(one, str) else one[0] for one in wanted]
        if self.providers != asked:  # it falls back by itself
            raise InputError(f"extractor {spec.name}: asked for {asked}, ONNX Runtime runs {self.providers}")
        self._input, fixed = check_input(spec, {i.name: i.shape for i in self._session.get_inputs()})
        kind = self._session.get_inputs()[0].type
        if kind not in _INPUT_TYPES:
            raise InputError(f"extractor {spec.name}: the graph takes {kind}; float and float16 are supported")
        self._dtype = _INPUT_TYPES[kind]
        if self._dtype is np.float16:
            self.precision = "fp16"  # the file's own, which its hash covers
        self._output = find_output(spec, {o.name: o.shape for o in self._session.get_outputs()})
        self.batch = fixed or execution.batch or BATCH[self._device]
        self._binding = self._session.io_binding()

    def _runtime(self) -> dict[str, Any]:
        import onnxruntime

        return {
            "runtime": f"onnxruntime {onnxruntime.__version__}",
            "providers": self.providers,
            "device": self._device,
        }

    def _forward(self, block: F32) -> F32:
        # bound, input and output lie where the session wants them: it copies to the device and back, and nothing more
        self._binding.bind_cpu_input(self._input, block.astype(self._dtype, copy=False))
        self._binding.bind_output(self._output, "cpu")
        self._session.run_with_iobinding(self._binding)
        (result,) = self._binding.copy_outputs_to_cpu()
        return result  # type: ignore[no-any-return]

"""OpenVINO on the CPU, in a precision that is asked for and verified: by itself it may choose bfloat16."""

from __future__ import annotations

from typing import Any

from facecure.errors import InputError, MissingDependency
from facecure.execution import Execution
from facecure.extractors.graph import Graph, check_input, find_output, graph_of, sides
from facecure.extractors.runtimes.fixed_batch import BATCH, FixedBatchExtractor
from facecure.extractors.spec import ExtractorSpec
from facecure.kernels.bf16 import has_bf16
from facecure.types import F32

_NAMES = {"fp32": "f32", "bf16": "bf16", "int8": "f32"}  # in int8: of what is not quantised
_LAYERS = ("Convolution", "FullyConnected", "MatMul")


class OpenVinoExtractor(FixedBatchExtractor):
    """An extractor executed by OpenVINO."""

    precisions = ("fp32", "bf16", "int8")

    def __init__(self, spec: ExtractorSpec, execution: Execution = Execution(), *, graph: Graph | None = None) -> None:
        precision = execution.precision
        try:
            import openvino
        except ImportError as error:
            raise MissingDependency("openvino", "cpu") from error
        core = openvino.Core()
        if precision == "bf16" and not (has_bf16() and "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")):
            raise InputError(f"extractor {spec.name}: this processor has no bfloat16; ask for int8 or fp32")
        graph = graph_of(spec, graph, precision)
        super().__init__(spec, graph.weights_sha256, execution, graph.calibration)
        try:
            model = core.read_model(graph.data)
        except RuntimeError as error:
            raise InputError(f"extractor {spec.name}: OpenVINO cannot read {spec.weights}: {error}") from error
        _, fixed = check_input(spec, {i.any_name: _sides(i) for i in model.inputs})
        output = find_output(spec, {o.any_name: _sides(o) for o in model.outputs})
        self.batch = fixed or execution.batch or BATCH["cpu"]
        model.reshape([self.batch, *sides(spec)])
        self._compiled = core.compile_model(
            model,
            "CPU",
            {
                "INFERENCE_PRECISION_HINT": _NAMES[precision],
                "INFERENCE_NUM_THREADS": self.threads,
                "NUM_STREAMS": 1,  # one pass after the other, on all threads: passes are large
            },
        )
        ran = self._compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        if ran != _NAMES[precision]:
            raise InputError(f"extractor {spec.name}: asked for {precision}, OpenVINO runs {ran}")
        if precision == "int8" and not self._quantized_layers():
            raise InputError(f"extractor {spec.name}: asked for int8, OpenVINO runs no layer in it; ask for fp32")
        self._request = self._compiled.create_infer_request()
        self._output = next(o for o in self._compiled.outputs if o.any_name == output)

    def _quantized_layers(self) -> int:
        """Return how many layers are executed on integers: what is quantised may be computed in float all the same."""
        facts = [node.get_rt_info() for node in self._compiled.get_runtime_model().get_ops()]
        kinds = [[fact[key].astype(str) for key in ("layerType", "runtimePrecision")] for fact in facts]
        return sum(layer in _LAYERS and kind in ("u8", "i8") for layer, kind in kinds)

    def _runtime(self) -> dict[str, Any]:
        import openvino

        return {"runtime": f"openvino {openvino.__version__.partition('-')[0]}", "device": "cpu"}

    def _forward(self, block: F32) -> F32:
        self._request.infer([block], share_inputs=True)
        return self._request.get_tensor(self._output).data  # type: ignore[no-any-return]


def _sides(port: Any) -> list[int | None]:
    """Return the sides of an input or output, None where one is open."""
    if port.partial_shape.rank.is_dynamic:
        return []
    return [None if side.is_dynamic else side.get_length() for side in port.partial_shape]

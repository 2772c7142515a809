"""ONNX Runtime on the CPU: the embedded default."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from facecure.errors import InputError, MissingDependency
from facecure.extractors.runtimes.fixed_batch import FixedBatchExtractor
from facecure.extractors.spec import ExtractorSpec
from facecure.types import F32

_PROVIDER = "CPUExecutionProvider"
_INPUT_TYPES: dict[str, type[np.floating[Any]]] = {"tensor(float)": np.float32, "tensor(float16)": np.float16}


class OnnxExtractor(FixedBatchExtractor):
    """An extractor executed by ONNX Runtime."""

    def __init__(self, spec: ExtractorSpec, *, threads: int = 0, batch: int = 8) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise MissingDependency("onnxruntime", "cpu") from error
        data = spec.verified_weights()
        super().__init__(spec, data, threads)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            # from the verified bytes: values kept in other files, which no digest covers, cannot be loaded this way
            self._session = onnxruntime.InferenceSession(data, options, providers=[_PROVIDER])
        except Exception as error:  # its exceptions share no public base class
            raise InputError(f"extractor {spec.name}: ONNX Runtime cannot load {spec.weights}: {error}") from error
        self.providers = self._session.get_providers()
        if self.providers != [_PROVIDER]:
            raise InputError(f"extractor {spec.name}: asked for {_PROVIDER}, ONNX Runtime runs {self.providers}")
        self._input, self._dtype, fixed = self._check_input()
        self._output = self._find_output()
        self.batch = fixed or batch

    def _runtime(self) -> dict[str, Any]:
        import onnxruntime

        return {
            "runtime": f"onnxruntime {onnxruntime.__version__}",
            "providers": self.providers,
            "precision": "fp16" if self._dtype is np.float16 else "fp32",
            "device": "cpu",
        }

    def _forward(self, planes: F32) -> F32:
        block = planes.astype(self._dtype, copy=False)
        if self.spec.layout == "NHWC":
            block = np.ascontiguousarray(block.transpose(0, 2, 3, 1))
        (result,) = self._session.run([self._output], {self._input: block})
        return result  # type: ignore[no-any-return]

    def _check_input(self) -> tuple[str, type[np.floating[Any]], int | None]:
        """Return the input's name, type and batch size if fixed."""
        inputs, spec = self._session.get_inputs(), self.spec
        if len(inputs) != 1:
            raise InputError(f"extractor {spec.name}: the graph has the inputs {[i.name for i in inputs]}, needs one")
        size = {
            "NCHW": (3, spec.geometry.height, spec.geometry.width),
            "NHWC": (spec.geometry.height, spec.geometry.width, 3),
        }[spec.layout]
        shape = inputs[0].shape
        fits = len(shape) == 4 and all(
            not isinstance(have, int) or have == want for have, want in zip(shape[1:], size, strict=True)
        )
        if not fits:
            raise InputError(f"extractor {spec.name}: the graph takes {shape}, the spec says {('batch', *size)}")
        if inputs[0].type not in _INPUT_TYPES:
            raise InputError(
                f"extractor {spec.name}: the graph takes {inputs[0].type}; float and float16 are supported"
            )
        return inputs[0].name, _INPUT_TYPES[inputs[0].type], shape[0] if isinstance(shape[0], int) else None

    def _find_output(self) -> str:
        """Return the name of the only output that can hold the embedding."""
        outputs, spec = self._session.get_outputs(), self.spec
        known = {o.name: o.shape[1:] for o in outputs if all(isinstance(side, int) for side in o.shape[1:])}
        fitting = [name for name, sides in known.items() if prod(sides) == spec.embedding_size]
        fitting = fitting or [o.name for o in outputs if o.name not in known]  # symbolic: the result is checked instead
        if len(fitting) != 1:
            found = {o.name: o.shape for o in outputs}
            raise InputError(f"extractor {spec.name}: no single output of size {spec.embedding_size} among {found}")
        return str(fitting[0])

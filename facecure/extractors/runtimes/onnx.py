"""ONNX Runtime on the CPU: the embedded default."""

from __future__ import annotations

import hashlib
from math import prod
from typing import Any

import numpy as np

from facecure.errors import InputError, MissingDependency
from facecure.extractors.spec import ExtractorSpec
from facecure.kernels import Normalise, available_threads
from facecure.types import F32, Embeddings, Faces

_PROVIDER = "CPUExecutionProvider"
_INPUT_TYPES: dict[str, type[np.floating[Any]]] = {"tensor(float)": np.float32, "tensor(float16)": np.float16}


class OnnxExtractor:
    """An extractor executed by ONNX Runtime. `digest` identifies its embeddings, `what_ran` goes into the report.

    Every forward pass has exactly `batch` rows, the last one padded with zeros: the matrix kernels round differently
    for different numbers of rows, and a picture's embedding must not depend on its neighbours.
    """

    def __init__(self, spec: ExtractorSpec, *, threads: int = 0, batch: int = 8) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise MissingDependency("onnxruntime", "cpu") from error
        self.spec = spec
        data = spec.verified_weights()
        self.weights_sha256 = hashlib.sha256(data).hexdigest()
        self.digest = spec.digest(self.weights_sha256)
        self.threads = threads or available_threads()
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
        self._normalise = Normalise(spec.mean, spec.std, spec.colour)
        self._input, self._dtype, fixed = self._check_input()
        self._output = self._find_output()
        self.batch = fixed or batch

    @property
    def what_ran(self) -> dict[str, Any]:
        """Return name, digests, runtime, precision, device and provenance for the report."""
        import onnxruntime

        spec = self.spec
        return {
            "name": spec.name,
            "weights": str(spec.weights),
            "weights_sha256": self.weights_sha256,
            "sha256_enforced": spec.sha256 is not None,
            "digest": self.digest,
            "preprocessing": spec.preprocessing(),
            "runtime": f"onnxruntime {onnxruntime.__version__}",
            "providers": self.providers,
            "precision": "fp16" if self._dtype is np.float16 else "fp32",
            "device": "cpu",
            "threads": self.threads,
            "batch": self.batch,
            "training_set": spec.training_set,
            "licence": spec.licence,
            "year": spec.year,
        }

    def embed(self, faces: Faces) -> Embeddings:
        """Return one embedding per face, float32 (N, D), unit rows where the spec normalises.

        Raises `InputError` where the faces have another geometry than the spec's or the network returns something
        that is no direction (NaN, infinity or, where normalised, zero).
        """
        if faces.geometry != self.spec.geometry:
            raise InputError(f"extractor {self.spec.name}: these faces were cut with another geometry than its spec's")
        parts = [
            self._forward(self._normalise(faces.pixels[i : i + self.batch]))
            for i in range(0, len(faces.pixels), self.batch)
        ]
        vectors = np.concatenate(parts) if parts else np.empty((0, self.spec.embedding_size), np.float32)
        bad = np.asarray(~np.isfinite(vectors).all(axis=1))
        if self.spec.normalise:
            norms = np.linalg.norm(np.where(bad[:, None], 0, vectors.astype(np.float64)), axis=1)
            bad |= norms == 0
            vectors = (vectors / np.where(bad, 1, norms)[:, None]).astype(np.float32)
        if bad.any():
            raise InputError(
                f"extractor {self.spec.name} returned no finite non-zero embedding for face "
                f"{int(np.flatnonzero(bad)[0])} of {len(bad)}; check its preprocessing"
            )
        return Embeddings(vectors, self.digest)

    def _forward(self, planes: F32) -> F32:
        count = len(planes)
        block = np.zeros((self.batch, *planes.shape[1:]), self._dtype)
        block[:count] = planes
        if self.spec.layout == "NHWC":
            block = np.ascontiguousarray(block.transpose(0, 2, 3, 1))
        (result,) = self._session.run([self._output], {self._input: block})
        rows: F32 = result.reshape(self.batch, -1)[:count].astype(np.float32)
        if rows.shape[1] != self.spec.embedding_size:
            raise InputError(
                f"extractor {self.spec.name}: the graph returns {rows.shape[1]} values per face, the spec says "
                f"{self.spec.embedding_size}"
            )
        return rows

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

"""What all runtimes share: faces in, embeddings out, in passes of one size."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import cached_property
from math import prod
from threading import Lock
from typing import Any, ClassVar

import numpy as np

from facecure.errors import InputError
from facecure.execution import Execution, Precision
from facecure.extractors.graph import Calibration, sides
from facecure.extractors.spec import ExtractorSpec
from facecure.kernels import Normalise, normalise_faces
from facecure.threads import thread_count
from facecure.types import F32, U8, Embeddings, Faces

BATCH = {"cpu": 8, "cuda": 256}  # unless another is asked for: on a CPU larger ones gain little and pad more
_ALIGNMENT = 64  # bytes: a cache line, and the widest vector


class FixedBatchExtractor:
    """An extractor; `digest` identifies its embeddings, `what_ran` goes into the report.

    Every forward pass has exactly `batch` rows, the last one padded with zeros: the matrix kernels round differently
    for different numbers of rows, and a picture's embedding must not depend on its neighbours. `depth` passes may be
    under way at once: a device computes one while the next faces are prepared.
    """

    precisions: ClassVar[tuple[Precision, ...]]  # that the runtime computes in
    devices: ClassVar[tuple[str, ...]] = ("cpu",)  # kinds that it runs on
    batch: int
    depth = 1
    passed_over: Sequence[str] = ()  # what `auto` would have taken elsewhere, and why not here

    def __init__(
        self, spec: ExtractorSpec, weights_sha256: str, execution: Execution, calibration: Calibration | None = None
    ) -> None:
        self.spec = spec
        self.weights_sha256 = weights_sha256
        self.precision = execution.precision
        self.calibration = calibration
        self.digest = spec.digest(weights_sha256, self.precision, calibration.sha256 if calibration else None)
        self.threads = thread_count(execution.threads)
        self._normalise = Normalise(spec.mean, spec.std, spec.colour)
        self._lock = Lock()  # the blocks are shared by all calls

    @classmethod
    def graph_precision(cls, precision: Precision) -> Precision | None:
        """Return the precision of the ONNX graph that the runtime takes to compute in `precision`, None for no graph.

        By default it lowers a graph in float32 by itself; for int8 the graph has to be calibrated.
        """
        return "int8" if precision == "int8" else "fp32"

    @property
    def what_ran(self) -> dict[str, Any]:
        """Return name, digests, runtime, precision, device and provenance for the report."""
        spec = self.spec
        return {
            "name": spec.name,
            "weights": str(spec.weights),
            "weights_sha256": self.weights_sha256,
            "sha256_enforced": spec.sha256 is not None,
            "sha256_from": spec.sha256_from if spec.sha256 else None,
            "digest": self.digest,
            "identity": spec.identity(self.weights_sha256),
            "preprocessing": spec.preprocessing(),
            **self._runtime(),
            "precision": self.precision,
            **({} if self.calibration is None else {"calibration": asdict(self.calibration)}),
            **({"passed_over": list(self.passed_over)} if self.passed_over else {}),
            "threads": self.threads,
            "batch": self.batch,
            "training_set": spec.training_set,
            "data_terms": spec.data_terms,
            "licence": spec.licence,
            "year": spec.year,
        }

    def embed(self, faces: Faces) -> Embeddings:
        """Return one embedding per face, float32 (N, D), unit rows where the spec normalises.

        Raises `InputError` where the faces have another geometry than the spec's or the network returns something
        that is no direction (NaN, infinity or, where normalised, zero).
        """
        vectors = self.returned(faces)
        bad = np.asarray(~np.isfinite(vectors).all(axis=1))
        if self.spec.normalise:
            norms = np.linalg.norm(np.where(bad[:, None], 0, vectors.astype(np.float64)), axis=1)
            bad |= norms == 0
            vectors = (vectors / np.where(bad, 1, norms)[:, None]).astype(np.float32)
        if bad.any():
            which = f" for face {int(np.flatnonzero(bad)[0])} of {len(bad)}" if len(bad) > 1 else ""
            raise InputError(
                f"extractor {self.spec.name} returned no finite non-zero embedding{which}; check its preprocessing"
            )
        return Embeddings(vectors, self.digest)

    def returned(self, faces: Faces) -> F32:
        """Return what the network itself returns for each face, float32 (N, D), whatever its values.

        With the mirrored face's added where the spec says so.
        """
        if faces.geometry != self.spec.geometry:
            raise InputError(f"extractor {self.spec.name}: these faces were cut with another geometry than its spec's")
        with self._lock:
            vectors = self._raw(faces.pixels)
            if self.spec.mirror:
                vectors += self._raw(np.ascontiguousarray(faces.pixels[:, :, ::-1]))
        return vectors

    def _raw(self, pixels: U8) -> F32:
        """Return the network's own embeddings, float32 (N, D)."""
        parts = list(self._passes(pixels))
        return np.concatenate(parts) if parts else np.empty((0, self.spec.embedding_size), np.float32)

    def _passes(self, pixels: U8) -> Iterator[F32]:
        """Yield the raw embeddings of one pass after the other."""
        under_way: deque[tuple[Callable[[], F32], int]] = deque()
        for number, first in enumerate(range(0, len(pixels), self.batch)):
            if len(under_way) == self.depth:
                yield self._rows(*under_way.popleft())
            some, block = pixels[first : first + self.batch], self._blocks[number % self.depth]
            normalise_faces(some, self._normalise, block[: len(some)], layout=self.spec.layout)
            block[len(some) :] = 0
            under_way.append((self._start(number % self.depth), len(some)))
        while under_way:
            yield self._rows(*under_way.popleft())

    def _rows(self, wait: Callable[[], F32], count: int) -> F32:
        found = wait()
        if found.ndim < 2 or len(found) != self.batch:
            raise InputError(
                f"extractor {self.spec.name}: for {self.batch} faces the network returns an array {found.shape}, not a "
                f"row for each ({self.batch}, {self.spec.embedding_size}); export it with an open batch"
            )
        rows: F32 = found.reshape(self.batch, -1)[:count].astype(np.float32)
        if rows.shape[1] != self.spec.embedding_size:
            raise InputError(
                f"extractor {self.spec.name}: the network returns {rows.shape[1]} values per face, the spec says "
                f"{self.spec.embedding_size}"
            )
        return rows

    @cached_property
    def _blocks(self) -> list[F32]:
        """What passes take their faces from, one block per pass under way."""
        return [_aligned((self.batch, *sides(self.spec))) for _ in range(self.depth)]

    def _start(self, number: int) -> Callable[[], F32]:
        """Return what waits for the pass over block `number`; it has begun, or is done already."""
        rows = self._forward(self._blocks[number])
        return lambda: rows

    def _forward(self, block: F32) -> F32:
        """Return the network's output for `batch` normalised faces, float32 in the spec's layout, contiguous."""
        raise NotImplementedError

    def _runtime(self) -> dict[str, Any]:
        """Return runtime and device, and what else the runtime says of itself."""
        raise NotImplementedError


def _aligned(shape: tuple[int, ...]) -> F32:
    """Return an uninitialised float32 array that begins at a multiple of `_ALIGNMENT` bytes."""
    size = 4 * prod(shape)
    raw = np.empty(size + _ALIGNMENT, np.uint8)
    offset = -raw.ctypes.data % _ALIGNMENT
    return raw[offset : offset + size].view(np.float32).reshape(shape)

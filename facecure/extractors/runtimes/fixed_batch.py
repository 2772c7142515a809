"""What all runtimes share: faces in, embeddings out, in passes of one size."""

from __future__ import annotations

from typing import Any

import numpy as np

from facecure.errors import InputError
from facecure.extractors.spec import ExtractorSpec, Precision
from facecure.kernels import Normalise, available_threads
from facecure.types import F32, Embeddings, Faces


class FixedBatchExtractor:
    """An extractor; `digest` identifies its embeddings, `what_ran` goes into the report.

    Every forward pass has exactly `batch` rows, the last one padded with zeros: the matrix kernels round differently
    for different numbers of rows, and a picture's embedding must not depend on its neighbours.
    """

    batch: int

    def __init__(self, spec: ExtractorSpec, weights_sha256: str, threads: int, precision: Precision = "fp32") -> None:
        self.spec = spec
        self.weights_sha256 = weights_sha256
        self.precision = precision
        self.digest = spec.digest(weights_sha256, precision)
        self.threads = threads or available_threads()
        self._normalise = Normalise(spec.mean, spec.std, spec.colour)

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
            "preprocessing": spec.preprocessing(),
            **self._runtime(),
            "precision": self.precision,
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
        if faces.geometry != self.spec.geometry:
            raise InputError(f"extractor {self.spec.name}: these faces were cut with another geometry than its spec's")
        parts = [
            self._rows(self._normalise(faces.pixels[i : i + self.batch]))
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

    def _rows(self, planes: F32) -> F32:
        count = len(planes)
        missing = np.zeros((self.batch - count, *planes.shape[1:]), np.float32)
        block = np.concatenate([planes, missing]) if len(missing) else planes
        if self.spec.layout == "NHWC":
            block = np.ascontiguousarray(block.transpose(0, 2, 3, 1))
        rows: F32 = self._forward(block).reshape(self.batch, -1)[:count].astype(np.float32)
        if rows.shape[1] != self.spec.embedding_size:
            raise InputError(
                f"extractor {self.spec.name}: the network returns {rows.shape[1]} values per face, the spec says "
                f"{self.spec.embedding_size}"
            )
        return rows

    def _forward(self, block: F32) -> F32:
        """Return the network's output for `batch` normalised faces, float32 in the spec's layout, contiguous."""
        raise NotImplementedError

    def _runtime(self) -> dict[str, Any]:
        """Return runtime and device, and what else the runtime says of itself."""
        raise NotImplementedError

"""Pictures to embeddings for several extractors at once: decoded once, found once, each content embedded once."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from facecure.errors import InputError
from facecure.extractors.runtimes.fixed_batch import FixedBatchExtractor
from facecure.extractors.spec import ExtractorSpec
from facecure.kernels import thread_count
from facecure.pictures.detect import FaceFinder
from facecure.pictures.load import load_faces
from facecure.store import EmbeddingStore
from facecure.types import F32, U8, Embeddings, Exclusion, Faces, Sample, digest_of

Progress = Callable[[str, int, int], None]  # stage, done, total
_SHARD = 512  # contents between two writes: at most so much work is lost to a crash


class Extractor(Protocol):
    """Anything that embeds faces; `digest` names what its embeddings may be compared with."""

    spec: ExtractorSpec
    digest: str
    batch: int

    @property
    def what_ran(self) -> dict[str, Any]:
        """Return name, digests, runtime, precision, device and provenance for the report."""

    def embed(self, faces: Faces) -> Embeddings:
        """Return one embedding per face."""


@dataclass(frozen=True, slots=True)
class EmbeddingTable:
    """Usable samples, the hash of each one's content, and their embeddings per extractor, rows in that order."""

    samples: tuple[Sample, ...]
    sha256: tuple[str, ...]
    embeddings: tuple[Embeddings, ...]
    excluded: tuple[Exclusion, ...]
    seconds: dict[str, float]


def embed(
    samples: Sequence[Sample],
    extractors: Sequence[Extractor],
    detector: FaceFinder | None = None,
    *,
    store: Path | None = None,
    threads: int = 0,
    progress: Progress = lambda stage, done, total: None,
) -> EmbeddingTable:
    """Return the embeddings of all usable samples by all extractors.

    A picture that cannot be read, or in which no face is found although an extractor aligns, is excluded for all of
    them, so that extractors are compared on the same pictures. With `store`, a folder, contents embedded in an earlier
    run are taken from it and new ones are kept there, also when the run is interrupted. Raises `InputError` without a
    detector where one is needed, or where an extractor fails on a picture (naming it).
    """
    check_extractors(extractors)
    aligned = [e.spec.name for e in extractors if e.spec.geometry.mode == "align"]
    if aligned and detector is None:
        raise InputError(
            f"{', '.join(aligned)} {'align' if len(aligned) > 1 else 'aligns'} faces and need a detector: "
            "name yunet of the zoo or a YuNet ONNX file with --detector or the environment variable FACECURE_DETECTOR"
        )
    geometries = list(dict.fromkeys(e.spec.geometry for e in extractors))
    columns = [
        _Column(e, geometries.index(e.spec.geometry), detector if e.spec.name in aligned else None, store)
        for e in extractors
    ]
    usable: list[tuple[Sample, str]] = []
    excluded: list[Exclusion] = []
    waiting: dict[str, tuple[Sample, tuple[U8, ...]]] = {}  # content → its first sample and faces
    # all passes that a device has under way at once: it computes one while the next is prepared
    together = max(e.batch * (e.depth if isinstance(e, FixedBatchExtractor) else 1) for e in extractors)
    started = time.perf_counter()

    def known(_: Sample, sha256: str) -> bool:
        return all(sha256 in column.known for column in columns)

    loaded = load_faces(
        samples, geometries, detector if aligned else None, thread_count(threads), known, ahead=2 * together
    )
    try:
        for done, item in enumerate(loaded, start=1):
            if item.excluded is not None:
                excluded.append(item.excluded)
            else:
                usable.append((item.sample, item.sha256))
                if item.faces is not None and not known(item.sample, item.sha256):
                    waiting.setdefault(item.sha256, (item.sample, item.faces))
            if len(waiting) == together or done == len(samples):
                for column in columns:
                    column.extend(waiting)
                waiting.clear()
            progress("faces and embeddings", done, len(samples))
    finally:
        for column in columns:
            column.save()
    hashes = tuple(sha256 for _, sha256 in usable)
    seconds = {f"embed {column.extractor.spec.name}": column.seconds for column in columns}
    seconds["read, detect, cut (waiting)"] = time.perf_counter() - started - sum(seconds.values())
    return EmbeddingTable(
        tuple(sample for sample, _ in usable),
        hashes,
        tuple(Embeddings(column.vectors(hashes), column.extractor.digest) for column in columns),
        tuple(excluded),
        seconds,
    )


def check_extractors(extractors: Sequence[Extractor]) -> None:
    """Return nothing; raises `InputError` without extractors or where two share a name, by which results are kept."""
    if not extractors:
        raise InputError("name at least one extractor")
    for name, count in Counter(e.spec.name for e in extractors).items():
        if count > 1:
            raise InputError(f"{count} extractors are called {name!r}; give each spec a name of its own")


class _Column:
    """One extractor's embeddings: `known` maps a content's hash to its float32 (D,) vector."""

    def __init__(self, extractor: Extractor, geometry: int, detector: FaceFinder | None, store: Path | None) -> None:
        self.extractor = extractor
        self.known: dict[str, F32] = {}
        self.seconds = 0.0
        self._geometry = geometry
        self._unsaved: list[str] = []
        self._store: EmbeddingStore | None = None
        if store is not None:
            key = digest_of([extractor.digest, detector.digest if detector else None])
            self._store = EmbeddingStore(store / f"{extractor.spec.name}-{key[:16]}")
            self.known = dict(zip(*self._store.load(), strict=True))

    def extend(self, waiting: dict[str, tuple[Sample, tuple[U8, ...]]]) -> None:
        new = {sha256: entry for sha256, entry in waiting.items() if sha256 not in self.known}
        if not new:
            return
        started = time.perf_counter()
        try:
            vectors = self._embed([faces for _, faces in new.values()])
        except InputError as error:
            raise self._blamed(new) or error from error
        self.known.update(zip(new, vectors, strict=True))
        self._unsaved += new
        self.seconds += time.perf_counter() - started
        if len(self._unsaved) >= _SHARD:
            self.save()

    def save(self) -> None:
        if self._store is not None and self._unsaved:
            self._store.append(self._unsaved, self.vectors(self._unsaved))
        self._unsaved = []

    def vectors(self, hashes: Sequence[str]) -> F32:
        """Return float32 (N, D), a row per content."""
        empty = np.empty((0, self.extractor.spec.embedding_size), np.float32)
        return np.stack([self.known[sha256] for sha256 in hashes]) if hashes else empty

    def _embed(self, faces: Sequence[tuple[U8, ...]]) -> F32:
        pixels = np.stack([cut[self._geometry] for cut in faces])
        return self.extractor.embed(Faces(pixels, self.extractor.spec.geometry)).vectors

    def _blamed(self, batch: dict[str, tuple[Sample, tuple[U8, ...]]]) -> InputError | None:
        """Return the error of the first picture of a failed batch that fails on its own, found by halving, naming it.

        None where the batch fails together only.
        """
        suspects = list(batch.values())
        while len(suspects) > 1:
            half = suspects[: len(suspects) // 2]
            suspects = half if self._error(half) else suspects[len(half) :]
        error = self._error(suspects)
        return None if error is None else InputError(f"{suspects[0][0].path}: {error}")

    def _error(self, some: Sequence[tuple[Sample, tuple[U8, ...]]]) -> InputError | None:
        try:
            self._embed([faces for _, faces in some])
        except InputError as error:
            return error
        return None

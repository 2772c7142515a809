"""Pictures to embeddings for several extractors at once: decoded once, found once, each content embedded once."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from facecure.errors import InputError
from facecure.extractors.spec import ExtractorSpec
from facecure.kernels import available_threads
from facecure.pictures.detect import Detector
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
    detector: Detector | None = None,
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
    aligned = [e.spec.name for e in extractors if e.spec.geometry.mode == "align"]
    if aligned and detector is None:
        raise InputError(
            f"{', '.join(aligned)} {'align' if len(aligned) > 1 else 'aligns'} faces and need a detector: "
            "name a YuNet ONNX file with --detector FILE or the environment variable FACECURE_DETECTOR"
        )
    geometries = list(dict.fromkeys(e.spec.geometry for e in extractors))
    columns = [_Column(e, geometries.index(e.spec.geometry), detector if e.spec.name in aligned else None, store)
               for e in extractors]  # fmt: skip
    row_of = _common_rows(columns)
    usable: list[tuple[Sample, str]] = []
    excluded: list[Exclusion] = []
    pending: dict[str, tuple[Sample, tuple[U8, ...]]] = {}
    batch = max((e.batch for e in extractors), default=1)
    started = time.perf_counter()

    def flush() -> None:
        for column in columns:
            column.extend(pending)
        for sha256 in pending:
            row_of[sha256] = len(row_of)
        pending.clear()

    loaded = load_faces(
        samples, geometries, detector if aligned else None, threads or available_threads(), row_of.__contains__
    )
    try:
        for done, item in enumerate(loaded, start=1):
            if item.excluded is not None:
                excluded.append(item.excluded)
            else:
                usable.append((item.sample, item.sha256))
                if item.faces is not None and item.sha256 not in row_of and item.sha256 not in pending:
                    pending[item.sha256] = item.sample, item.faces
                    if len(pending) == batch:
                        flush()
            progress("faces and embeddings", done, len(samples))
        flush()
    finally:
        for column in columns:
            column.save()
    rows = np.array([row_of[sha256] for _, sha256 in usable], np.int64)
    seconds = {f"embed {column.extractor.spec.name}": column.seconds for column in columns}
    seconds["read, detect, cut (waiting)"] = time.perf_counter() - started - sum(seconds.values())
    return EmbeddingTable(
        tuple(sample for sample, _ in usable),
        tuple(sha256 for _, sha256 in usable),
        tuple(Embeddings(column.vectors(rows), column.extractor.digest) for column in columns),
        tuple(excluded),
        seconds,
    )


class _Column:
    """One extractor's embeddings of the distinct contents, in order of first sight."""

    def __init__(self, extractor: Extractor, geometry: int, detector: Detector | None, store: Path | None) -> None:
        self.extractor = extractor
        self.seconds = 0.0
        self._geometry = geometry
        key = digest_of([extractor.digest, detector.digest if detector else None])
        self._store = EmbeddingStore(store / f"{extractor.spec.name}-{key[:16]}") if store else None
        self.kept: dict[str, F32] = {}
        if self._store is not None:
            self.kept = dict(zip(*self._store.load(), strict=True))
        self._hashes: list[str] = []
        self._vectors: list[F32] = []
        self._saved = 0

    def start_with(self, hashes: Sequence[str]) -> None:
        """Take the kept embeddings of these contents as the first rows."""
        self._vectors = [self.kept[sha256] for sha256 in hashes]
        self._hashes, self._saved = list(hashes), len(hashes)

    def extend(self, pending: dict[str, tuple[Sample, tuple[U8, ...]]]) -> None:
        if not pending:
            return
        started = time.perf_counter()
        faces = np.stack([faces[self._geometry] for _, faces in pending.values()])
        try:
            embedded = self.extractor.embed(Faces(faces, self.extractor.spec.geometry))
        except InputError as error:
            raise self._blamed(pending, error) from error
        self._vectors += list(embedded.vectors)
        self._hashes += pending
        self.seconds += time.perf_counter() - started
        if len(self._hashes) - self._saved >= _SHARD:
            self.save()

    def save(self) -> None:
        if self._store is not None:
            new = slice(self._saved, len(self._hashes))
            fresh = [i for i in range(new.start, new.stop) if self._hashes[i] not in self.kept]
            self._store.append(
                [self._hashes[i] for i in fresh], np.array([self._vectors[i] for i in fresh], np.float32)
            )
        self._saved = len(self._hashes)

    def vectors(self, rows: np.ndarray[Any, np.dtype[np.int64]]) -> F32:
        size = self.extractor.spec.embedding_size
        table = np.stack(self._vectors) if self._vectors else np.empty((0, size), np.float32)
        return np.ascontiguousarray(table[rows])

    def _blamed(self, pending: dict[str, tuple[Sample, tuple[U8, ...]]], error: InputError) -> InputError:
        """Return the error with the first picture of the batch that fails on its own."""
        for sample, faces in pending.values():
            try:
                self.extractor.embed(Faces(faces[self._geometry][None], self.extractor.spec.geometry))
            except InputError as single:
                return InputError(f"{sample.path}: {single}")
        return error


def _common_rows(columns: Sequence[_Column]) -> dict[str, int]:
    """Return content hash → row for the contents that all extractors have kept, and start all of them with those."""
    common = [h for h in (columns[0].kept if columns else {}) if all(h in column.kept for column in columns)]
    for column in columns:
        column.start_with(common)
    return {sha256: row for row, sha256 in enumerate(common)}

"""Pictures to embeddings for several extractors at once: decoded once, found once, each content embedded once."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path

import numpy as np

from facecure.embeddings.store import EmbeddingStore
from facecure.embeddings.table import EmbeddingTable, shown
from facecure.errors import InputError
from facecure.execution import Execution
from facecure.extractors.extractor import Extractor
from facecure.pictures.detect import Detector, check_detector
from facecure.pictures.load import load_faces
from facecure.runs.atomic import alone
from facecure.threads import thread_count
from facecure.types import F32, U8, Embeddings, Exclusion, FaceGeometry, Faces, Sample, digest_of

_SHARD = 512  # contents between two writes: at most so much work is lost to a crash


def embed(
    samples: Sequence[Sample],
    extractors: Sequence[Extractor],
    detector: Detector | None = None,
    execution: Execution = Execution(),
    *,
    store: Path | None = None,
    faces: Sequence[FaceGeometry] = (),
) -> EmbeddingTable:
    """Return the embeddings of all usable samples by all extractors.

    A picture that cannot be read, in which no face is found although an extractor aligns, or of which some extractor
    makes no embedding (zero, or not finite), is excluded for all of them, so that extractors are compared on the same
    pictures. With `store`, a folder, contents embedded in an earlier run are taken from it and new ones are kept there,
    also when the run is interrupted. The table has the faces too, cut in the geometries `faces`; these are kept in no
    store, so that every picture is decoded. Raises `InputError` without a detector where one is needed, or where an
    extractor fails on every picture.
    """
    check_extractors(extractors)
    aligned = [e.spec.name for e in extractors if e.spec.geometry.found]
    check_detector(aligned, detector)
    needed = aligned or any(geometry.found for geometry in faces)
    with alone(store) if store is not None else nullcontext():
        return _embed(samples, extractors, detector if needed else None, store, faces, execution)


def _embed(
    samples: Sequence[Sample],
    extractors: Sequence[Extractor],
    detector: Detector | None,
    store: Path | None,
    faces: Sequence[FaceGeometry],
    execution: Execution,
) -> EmbeddingTable:
    geometries = list(dict.fromkeys([*(e.spec.geometry for e in extractors), *faces]))
    columns = [
        _Column(e, geometries.index(e.spec.geometry), detector if e.spec.geometry.found else None, store)
        for e in extractors
    ]
    cut: dict[str, tuple[U8, ...]] = {}  # content → its faces
    usable: list[tuple[Sample, str]] = []
    excluded: list[Exclusion] = []
    waiting: dict[str, tuple[Sample, tuple[U8, ...]]] = {}  # content → its first sample and faces
    # all passes that a device has under way at once: it computes one while the next is prepared
    together = max(e.batch * getattr(e, "depth", 1) for e in extractors)
    started = time.perf_counter()

    def known(_: Sample, sha256: str) -> bool:
        return all(sha256 in column.known for column in columns) and (not faces or sha256 in cut)

    loaded = load_faces(samples, geometries, detector, thread_count(execution.threads), known, ahead=2 * together)
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
                if faces:
                    cut |= {sha256: pixels for sha256, (_, pixels) in waiting.items()}
                waiting.clear()
            execution.progress("faces and embeddings", done, len(samples))
    finally:
        for column in columns:
            column.save()
    for column in columns:
        column.check()
    failed = {sha256: reason for column in columns for sha256, reason in column.failed.items()}
    excluded += [Exclusion(s.path, f"no embedding: {failed[sha256]}") for s, sha256 in usable if sha256 in failed]
    usable = [entry for entry in usable if entry[1] not in failed]
    hashes = tuple(sha256 for _, sha256 in usable)
    seconds = {f"embed {column.extractor.spec.name}": column.seconds for column in columns}
    seconds["read, detect, cut (waiting)"] = time.perf_counter() - started - sum(seconds.values())
    embeddings = tuple(Embeddings(column.vectors(hashes), column.extractor.digest) for column in columns)
    stacked = tuple(_stacked(cut, hashes, geometries.index(geometry), geometry) for geometry in dict.fromkeys(faces))
    return EmbeddingTable(
        tuple(samples),
        tuple(sample for sample, _ in usable),
        hashes,
        shown(embeddings, stacked),
        embeddings,
        stacked,
        tuple(range(len(usable))),
        tuple(excluded),
        seconds,
    )


def _stacked(cut: Mapping[str, tuple[U8, ...]], hashes: Sequence[str], number: int, geometry: FaceGeometry) -> Faces:
    """Return one face per content, that of the geometry with this number."""
    pixels = np.empty((len(hashes), geometry.height, geometry.width, 3), np.uint8)
    for row, sha256 in enumerate(hashes):
        pixels[row] = cut[sha256][number]
    return Faces(pixels, geometry)


def check_extractors(extractors: Sequence[Extractor]) -> None:
    """Raise `InputError` without extractors or where two share a name, by which results are kept."""
    if not extractors:
        raise InputError("name at least one extractor")
    for name, count in Counter(e.spec.name for e in extractors).items():
        if count > 1:
            raise InputError(f"{count} extractors are called {name!r}; give each spec a name of its own")


class _Column:
    """One extractor's embeddings: `known` maps a content's hash to its float32 (D,) vector, `failed` to why not."""

    def __init__(self, extractor: Extractor, geometry: int, detector: Detector | None, store: Path | None) -> None:
        self.extractor = extractor
        self.known: dict[str, F32] = {}
        self.failed: dict[str, str] = {}
        self.seconds = 0.0
        self._geometry = geometry
        self._unsaved: list[str] = []
        self._store: EmbeddingStore | None = None
        if store is not None:
            key = digest_of([extractor.digest, detector.digest if detector else None])
            self._store = EmbeddingStore(store / f"{extractor.spec.name}-{key[:16]}")
            self.known = dict(zip(*self._store.load(), strict=True))

    def extend(self, waiting: dict[str, tuple[Sample, tuple[U8, ...]]]) -> None:
        new = {
            sha256: entry for sha256, entry in waiting.items() if sha256 not in self.known and sha256 not in self.failed
        }
        if not new:
            return
        started = time.perf_counter()
        vectors, failed = self._each({sha256: faces for sha256, (_, faces) in new.items()})
        self.known |= vectors
        self.failed |= failed
        if len(self.failed) >= _SHARD:
            self.check()
        self._unsaved += vectors
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

    def check(self) -> None:
        """Raise the extractor's `InputError` where no picture has an embedding although some were embedded."""
        if self.failed and not self.known:
            raise InputError(f"{next(iter(self.failed.values()))} (so it is for all {len(self.failed)} pictures)")

    def _each(self, faces: Mapping[str, tuple[U8, ...]]) -> tuple[dict[str, F32], dict[str, str]]:
        """Return vectors by content, and why there is none for the others, which are found by halving.

        Raises `InputError` where contents fail together only.
        """
        try:
            return dict(zip(faces, self._embed(list(faces.values())), strict=True)), {}
        except InputError as error:
            if len(faces) == 1:
                return {}, dict.fromkeys(faces, str(error))
            entries = list(faces.items())
            halves = [self._each(dict(part)) for part in (entries[: len(faces) // 2], entries[len(faces) // 2 :])]
            failed = halves[0][1] | halves[1][1]
            if not failed:
                raise
            return halves[0][0] | halves[1][0], failed

    def _embed(self, faces: Sequence[tuple[U8, ...]]) -> F32:
        pixels = np.stack([cut[self._geometry] for cut in faces])
        return self.extractor.embed(Faces(pixels, self.extractor.spec.geometry)).of(self.extractor.digest)

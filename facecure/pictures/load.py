"""Samples to faces: each picture is read and decoded once, its face found once and cut for every geometry."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from facecure.execution import Execution
from facecure.pictures.align import cut_face
from facecure.pictures.budget import Budget
from facecure.pictures.decode import decode
from facecure.pictures.detect import DetectedFace, Detector
from facecure.pictures.files import read_picture
from facecure.pictures.formats import UnreadablePicture
from facecure.pictures.metadata import Metadata, metadata_of
from facecure.pictures.opencv import opencv_on_one_thread
from facecure.threads import thread_count
from facecure.types import U8, Exclusion, FaceGeometry, Faces, Sample

IN_FLIGHT = 1 << 29  # bytes of files and whole pictures that are held at a time
_WORKING = 8  # bytes per pixel while a picture is decoded: 3 of them stay, the others are the decoder's


@dataclass(frozen=True, slots=True)
class Loaded:
    """What became of one sample: its content hash and one face per geometry, or the reason for having none.

    `faces` is None where the caller knew the content already. `found` are all faces that the detector, if there is one,
    finds in the decoded picture, the main one first; `size` is the picture's (width, height). `metadata` is read for
    pictures that are handed over as they are.
    """

    sample: Sample
    sha256: str
    faces: tuple[U8, ...] | None = None
    excluded: Exclusion | None = None
    found: tuple[DetectedFace, ...] = ()
    size: tuple[int, int] = (0, 0)
    metadata: Metadata = field(default_factory=Metadata)


def load_faces(
    samples: Iterable[Sample],
    geometries: Sequence[FaceGeometry | None],
    detector: Detector | None,
    threads: int,
    known: Callable[[Sample, str], bool] = lambda sample, sha256: False,
    ahead: int = 0,
) -> Iterator[Loaded]:
    """Yield one `Loaded` per sample, in order, decoded on `threads` threads while the caller works on earlier ones.

    Up to `ahead` samples are decoded before they are asked for, eight per thread at least, but no more than `IN_FLIGHT`
    bytes of whole pictures are held, the largest one beside: sizes are known by the header before anything is decoded.

    The geometry None stands for the picture as it is. Samples for which `known(sample, sha256)` holds are hashed but
    neither decoded nor cut. A picture that cannot be used is yielded with its exclusion: `unreadable: …` or
    `no face: …`.
    """
    budget = Budget(IN_FLIGHT)
    whole = None in geometries

    def load(number: int, sample: Sample) -> Loaded:
        taken = kept = 0

        def take(size: int) -> None:
            nonlocal taken
            budget.take(number, size)
            taken += size

        try:
            loaded = _load(sample, take)
            kept = _held(loaded)
            return loaded
        finally:
            budget.give(taken - kept)

    def _load(sample: Sample, take: Callable[[int], None]) -> Loaded:
        sha256 = ""
        try:
            data = read_picture(sample.path, take)
            sha256 = hashlib.sha256(data).hexdigest()
            if known(sample, sha256):
                return Loaded(sample, sha256)
            picture = decode(data, lambda pixels: take(_WORKING * pixels))
        except UnreadablePicture as error:
            return Loaded(sample, sha256, excluded=Exclusion(sample.path, f"unreadable: {error}"))
        size = picture.shape[1], picture.shape[0]
        found = detector.faces(picture) if detector is not None else []
        if detector is not None and not found:
            return Loaded(sample, sha256, excluded=Exclusion(sample.path, "no face: the detector found none"))
        landmarks, box = (found[0].landmarks, found[0].box) if found else (None, None)
        try:
            faces = tuple(picture if g is None else cut_face(picture, g, landmarks, box) for g in geometries)
        except np.linalg.LinAlgError:
            return Loaded(sample, sha256, excluded=Exclusion(sample.path, "no face: what was found has no extent"))
        told = metadata_of(data) if whole else Metadata()
        return Loaded(sample, sha256, faces, None, tuple(found), size, told)

    def _held(loaded: Loaded) -> int:
        """Return the bytes of the whole picture that goes along."""
        return 3 * loaded.size[0] * loaded.size[1] if whole else 0

    most = max(8 * threads, ahead)
    pending: deque[tuple[int, Future[Loaded]]] = deque()

    def hand_over() -> Iterator[Loaded]:
        number, future = pending.popleft()
        budget.await_picture(number)
        loaded = future.result()
        yield loaded
        budget.give(_held(loaded))

    with opencv_on_one_thread(), ThreadPoolExecutor(threads) as pool:
        try:
            for number, sample in enumerate(samples):
                pending.append((number, pool.submit(load, number, sample)))
                if len(pending) >= most:
                    yield from hand_over()
            while pending:
                yield from hand_over()
        finally:
            budget.stop()
            for _, future in pending:  # the consumer stopped early, or a picture failed
                future.cancel()


def stack_faces(
    samples: Sequence[Sample],
    geometry: FaceGeometry,
    detector: Detector | None,
    execution: Execution = Execution(),
    stage: str = "faces",
) -> tuple[list[Sample], Faces, list[Exclusion]]:
    """Return the samples that have a face, their faces in one array, and the others with their reasons.

    `stage` is what progress is called.
    """
    threads = thread_count(execution.threads)
    kept: list[Sample] = []
    excluded: list[Exclusion] = []
    pixels: list[U8] = []
    for done, one in enumerate(load_faces(samples, [geometry], detector, threads), 1):
        if one.excluded is not None:
            excluded.append(one.excluded)
        elif one.faces is not None:
            kept.append(one.sample)
            pixels.append(one.faces[0])
        execution.progress(stage, done, len(samples))
    empty = np.empty((0, geometry.height, geometry.width, 3), np.uint8)
    return kept, Faces(np.stack(pixels) if pixels else empty, geometry), excluded

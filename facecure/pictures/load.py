"""Samples to faces: each picture is read and decoded once, its face found once and cut for every geometry."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from facecure.pictures.align import cut_face
from facecure.pictures.decode import UnreadablePicture, decode
from facecure.pictures.detect import Detector
from facecure.types import U8, Exclusion, FaceGeometry, Sample


@dataclass(frozen=True, slots=True)
class Loaded:
    """What became of one sample: its content hash and one face per geometry, or the reason for having none.

    `faces` is None where the caller knew the content already.
    """

    sample: Sample
    sha256: str
    faces: tuple[U8, ...] | None = None
    excluded: Exclusion | None = None


def load_faces(
    samples: Iterable[Sample],
    geometries: Sequence[FaceGeometry],
    detector: Detector | None,
    threads: int,
    known: Callable[[str], bool] = lambda sha256: False,
) -> Iterator[Loaded]:
    """Yield one `Loaded` per sample, in order, decoded on `threads` threads with a bounded number in flight.

    Contents for which `known(sha256)` holds are hashed but neither decoded nor cut. A picture that cannot be used
    is yielded with its exclusion: `unreadable: …` or `no face: …`.
    """

    def load(sample: Sample) -> Loaded:
        try:
            data = sample.path.read_bytes()
        except OSError as error:
            return Loaded(sample, "", excluded=Exclusion(sample.path, f"unreadable: {error.strerror or error}"))
        sha256 = hashlib.sha256(data).hexdigest()
        if known(sha256):
            return Loaded(sample, sha256)
        try:
            picture = decode(data)
        except UnreadablePicture as error:
            return Loaded(sample, sha256, excluded=Exclusion(sample.path, f"unreadable: {error}"))
        landmarks = detector.landmarks(picture) if detector is not None else None
        if detector is not None and landmarks is None:
            return Loaded(sample, sha256, excluded=Exclusion(sample.path, "no face: the detector found none"))
        try:
            return Loaded(sample, sha256, tuple(cut_face(picture, geometry, landmarks) for geometry in geometries))
        except np.linalg.LinAlgError:
            return Loaded(sample, sha256, excluded=Exclusion(sample.path, "no face: its landmarks fall into one point"))

    pending: deque[Future[Loaded]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for sample in samples:
                pending.append(pool.submit(load, sample))
                if len(pending) >= 8 * threads:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:  # the consumer stopped early, or a picture failed
                future.cancel()

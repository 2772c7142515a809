"""How many faces a pass takes: measured, since it depends on network, runtime and machine."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from statistics import median

from facecure.extractors.runtimes.fixed_batch import FixedBatchExtractor
from facecure.types import Faces

BATCHES = {"cpu": (8, 16, 32), "cuda": (32, 128, 256)}
_ROUNDS = 3


def faces_per_second(extractors: Sequence[FixedBatchExtractor], faces: Faces) -> list[float]:
    """Return the faces that each extractor embeds in a second: the median of rounds in turn, after one to warm up."""
    seconds: list[list[float]] = [[] for _ in extractors]
    for number in range(_ROUNDS + 1):
        for extractor, times in zip(extractors, seconds, strict=True):
            started = time.perf_counter()
            extractor.embed(faces)
            if number:
                times.append(time.perf_counter() - started)
    return [len(faces.pixels) / median(times) for times in seconds]


def fastest_batch(opened: Iterable[FixedBatchExtractor], faces: Faces) -> FixedBatchExtractor:
    """Return which of the extractors, the same in several batches, embeds these faces fastest.

    A graph whose batch is fixed has no choice.
    """
    extractors = {extractor.batch: extractor for extractor in opened}
    speeds = faces_per_second(list(extractors.values()), faces) if len(extractors) > 1 else [0.0]
    return max(zip(speeds, extractors.values(), strict=True), key=lambda pair: pair[0])[1]

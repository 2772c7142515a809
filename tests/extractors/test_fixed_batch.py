"""Passes under way at once return each face's own row, in order."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from facecure.execution import Execution
from facecure.extractors.runtimes.fixed_batch import FixedBatchExtractor
from facecure.extractors.spec import ExtractorSpec
from facecure.types import FaceGeometry, Faces

SPEC = ExtractorSpec(
    "means", Path("nowhere.onnx"), None, FaceGeometry(4, 2), "RGB", "NCHW", (0.0,) * 3, (1.0,) * 3, 3, normalise=False
)


class Late(FixedBatchExtractor):
    """Reads its block only when it is waited for, as a device may: a block filled too early shows."""

    def __init__(self, depth: int, batch: int = 4) -> None:
        super().__init__(SPEC, "0" * 64, Execution(threads=1))
        self.depth, self.batch = depth, batch
        self.under_way = self.most = 0

    def _runtime(self):
        return {"runtime": "late", "device": "none"}

    def _start(self, number):
        self.under_way += 1
        self.most = max(self.most, self.under_way)

        def wait():
            self.under_way -= 1
            return self._blocks[number].mean(axis=(2, 3))

        return wait


def faces(count: int) -> Faces:
    return Faces(np.random.default_rng(count).integers(0, 256, (count, 2, 4, 3), np.uint8), SPEC.geometry)


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("count", [0, 1, 4, 5, 8, 9, 23])
def test_every_face_gets_its_own_row(depth, count):
    made = Late(depth)
    expected = faces(count).pixels.astype(np.float64).mean(axis=(1, 2))
    np.testing.assert_allclose(made.embed(faces(count)).vectors, expected, rtol=1e-6)
    assert made.most == min(depth, -(-count // 4))
    assert made.under_way == 0


class First(Late):
    """Embeds a face as its leftmost column."""

    def _start(self, number):
        return lambda: self._blocks[number][..., 0].mean(axis=2)


@pytest.mark.parametrize("count", [0, 1, 5])
def test_the_mirrored_faces_embedding_is_added_where_the_spec_says_so(count):
    made = First(2)
    made.spec = replace(SPEC, mirror=True)
    columns = faces(count).pixels.astype(np.float64).mean(axis=1)
    np.testing.assert_allclose(made.embed(faces(count)).vectors, columns[:, 0] + columns[:, -1], rtol=1e-6)
    assert made.spec.digest("0" * 64) != SPEC.digest("0" * 64)


def test_blocks_begin_at_a_cache_line():
    for block in Late(3)._blocks:
        assert block.ctypes.data % 64 == 0
        assert block.shape == (4, 3, 2, 4)


def test_calls_from_several_threads_do_not_mix():
    made = Late(2)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda count: made.embed(faces(count)).vectors, range(60)))
    for count, vectors in enumerate(found):
        np.testing.assert_array_equal(vectors, Late(1).embed(faces(count)).vectors)

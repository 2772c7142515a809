"""What is measured on a written picture, by its definitions."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from facecure.cloaks.apply.measure import MEASURES, combined, measured  # noqa: E402
from facecure.cloaks.surrogate import Preprocess, Surrogate  # noqa: E402
from facecure.errors import InputError  # noqa: E402
from facecure.types import FaceGeometry  # noqa: E402

CLEAN = np.random.default_rng(0).integers(40, 200, (30, 26, 3), np.uint8)


def surrogate() -> Surrogate:
    return Surrogate(torch.nn.Flatten(), Preprocess(FaceGeometry(26, 30), [0] * 3, [1] * 3), name="pixels")


def test_nothing_changed_measures_nothing():
    found = measured(CLEAN, CLEAN, [surrogate()], [None])
    assert found.keys() == {*MEASURES, "shift_pixels"}
    assert all(value == pytest.approx(0, abs=1e-6) for value in found.values())


def test_changes_in_the_frame_count_as_frame():
    cloaked = CLEAN.copy()
    cloaked[0, :4] += 10  # 12 values in the frame
    cloaked[15, 10:12] -= 20  # 6 values within
    found = measured(CLEAN, cloaked, [surrogate()], [None])
    assert found["max_delta"] == 20
    assert found["mean_delta"] == pytest.approx(240 / CLEAN.size, rel=1e-4)
    assert found["frame_share"] == pytest.approx(0.5)
    a, b = (v.astype(float).transpose(2, 0, 1).ravel() for v in (CLEAN, cloaked))
    shift = np.linalg.norm(a / np.linalg.norm(a) - b / np.linalg.norm(b))
    assert found["shift_pixels"] == pytest.approx(shift, rel=1e-3)


def test_another_size_is_an_error():
    with pytest.raises(InputError, match="written as"):
        measured(CLEAN, CLEAN[:-1], [], [])


def test_a_picture_is_as_visible_as_its_worst_face_and_as_cloaked_as_its_weakest():
    first = dict.fromkeys(MEASURES, 0.25) | {"shift_a": 1.0}
    second = dict.fromkeys(MEASURES, 0.5) | {"shift_a": 0.125}
    assert combined([first, second]) == dict.fromkeys(MEASURES, "0.5") | {"shift_a": "0.125"}
    assert combined([first]) == dict.fromkeys(MEASURES, "0.25") | {"shift_a": "1"}

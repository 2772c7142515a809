"""A cloak's frame of a detected face, and the way back, equal the original code's (golden faces)."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

from facecure.cloaks.cloak import Cloak
from facecure.cloaks.fawkes_v03 import FawkesV03
from facecure.cloaks.fawkes_v10 import FawkesV10
from facecure.cloaks.frame import Frame, centred
from facecure.pictures.align import cut_face, stretch
from facecure.types import FaceGeometry

BGR_MEAN = np.array([103.939, 116.779, 123.68], np.float32)


@pytest.fixture(scope="module")
def units(golden):
    with np.load(golden / "units.npz") as arrays:
        return {key.removeprefix("faces/"): arrays[key] for key in arrays.files if key.startswith("faces/")}


def released(cloaked: np.ndarray, clean: np.ndarray, side: int) -> np.ndarray:
    """Return both fitted to the square, each stretched by itself, and subtracted (Q4)."""
    back = FaceGeometry(side, side, interpolation="bicubic", stretch=True)
    return cut_face(cloaked, back, None).astype(np.float32) - cut_face(clean, back, None)


def merged(photo, f, cloaked, clean) -> np.ndarray:
    pixels = photo.astype(np.float32)
    f.add(pixels, released(cloaked, clean, f.side))
    return np.clip(pixels, 0, 255).astype(np.uint8)


@pytest.mark.shared
def test_v10_frames_and_merges_as_the_original(units):
    top, left, bottom, right = units["v10_box_yxyx"].tolist()
    photo = units["photo"]
    f = FawkesV10.frame(photo.shape[1::-1], np.array([left, top, right, bottom], float), False)
    assert (f.left, f.top, f.right, f.bottom) == (left, top, right, bottom)
    assert [f.y, f.y + bottom - top, f.x, f.x + right - left] == units["v10_start_end"][0].tolist()
    plain = FaceGeometry(112, 112, interpolation="bicubic")
    face = cut_face(stretch(f.square(photo)), plain, None)
    np.testing.assert_array_equal(face[None], units["v10_aligned_cropped"])
    found = merged(photo, f, units["v10_prot_in"][0], face)
    difference = np.abs(found.astype(int) - units["v10_merged"])
    assert (difference <= 1).mean() >= 0.999


@pytest.mark.shared
def test_v03_merges_as_the_original(units):
    left, top, right, bottom = units["v03_box_xyxy"].tolist()
    photo = units["photo"]
    f = Frame(left, top, right, bottom, max(bottom - top, right - left), 0, 0, "black")
    # the traced copy of v0.3 squashes the crop and merges it as if padded (Q11); the way back is the original's
    face = units["v03_cropped_rgb_u8"][0]
    fit = FaceGeometry(224, 224, interpolation="bicubic", stretch=True)
    np.testing.assert_array_equal(cut_face(photo[top:bottom, left:right], fit, None), face)
    cloaked = np.clip(units["v03_prot_in_bgr"][0] + BGR_MEAN, 0, 255)[..., ::-1]
    found = merged(photo, f, cloaked, face)
    difference = np.abs(found.astype(int) - units["v03_merged"])
    assert (difference <= 1).mean() >= 0.999


@pytest.mark.parametrize("cloak", [FawkesV03, FawkesV10, Cloak])
@pytest.mark.parametrize(
    "box",
    [
        (40, 30, 90, 110),
        (-12.5, -3, 60, 200),
        (0, 0, 1, 1),
        (70.4, 80.6, 99, 99),
        (150, 130, 170, 160),
        (-9, -9, -5, -5),
    ],
    ids=str,
)
@pytest.mark.parametrize("several", [False, True])
def test_any_box_gives_a_square_that_holds_its_part_of_the_photo(cloak, box, several):
    photo = np.random.default_rng(0).integers(0, 256, (120, 100, 3), np.uint8)
    f = cloak.frame((100, 120), np.array(box, float), several)
    assert 0 <= f.left < f.right <= 100
    assert 0 <= f.top < f.bottom <= 120
    square = f.square(photo)
    assert square.shape == (f.side, f.side, 3)
    part = square[f.y : f.y + f.bottom - f.top, f.x : f.x + f.right - f.left]
    np.testing.assert_array_equal(part, photo[f.top : f.bottom, f.left : f.right])
    change = np.full((f.side, f.side, 3), 2.0, np.float32)
    pixels = photo.astype(np.float32)
    f.add(pixels, change)
    assert (pixels - photo).sum() == 2 * 3 * (f.bottom - f.top) * (f.right - f.left)


def test_v03_widens_the_box_less_where_there_are_several():
    box = np.array([100.0, 100, 200, 200])
    alone, among = (FawkesV03.frame((400, 400), box, several) for several in (False, True))
    assert (alone.left, alone.right) == (65, 235)
    assert among.right - among.left < alone.right - alone.left
    assert alone.side == 170


def test_points_move_with_the_frame():
    f = centred((200, 200), np.array([40.0, 30, 90, 110]), 30)
    size = 112
    corner = f.inside(np.array([[f.left - 0.5, f.top - 0.5]]), size)
    np.testing.assert_allclose(corner, [[f.x * size / f.side - 0.5, f.y * size / f.side - 0.5]])

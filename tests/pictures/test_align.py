"""Faces are cut as published: landmarks onto a template, or the whole picture through Pillow."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from PIL import Image

from facecure.errors import InputError
from facecure.pictures.align import align_matrix, cut_face, similarity, stretch
from facecure.types import FaceGeometry

ARCFACE = ((38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041))
REGIONS = {  # (canvas region, width, height)
    "whole": (None, 112, 112),
    "columns_8_to_103": ((8, 0, 104, 112), 96, 112),
    "beyond_the_canvas": ((-10, -20, 122, 112), 132, 132),
}


def geometry(region=None, width=112, height=112, **options) -> FaceGeometry:
    return FaceGeometry(width, height, "align", (112, 112), ARCFACE, region, **options)


def smooth(rows: int, columns: int, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(0, 256, (rows // 20 + 2, columns // 20 + 2, 3), np.uint8)
    return cv2.resize(noise, (columns, rows), interpolation=cv2.INTER_CUBIC)


def placed(angle: float, scale: float, x: float, y: float) -> np.ndarray:
    """Return the template turned, scaled and moved: landmarks that a similarity fits exactly."""
    a, b = scale * np.cos(np.radians(angle)), scale * np.sin(np.radians(angle))
    return np.array(ARCFACE) @ np.array([[a, b], [-b, a]]) + [x, y]


def umeyama(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Umeyama 1991, eq. 40-43, literally: by singular value decomposition."""
    mean_s, mean_t = source.mean(0), target.mean(0)
    s, t = source - mean_s, target - mean_t
    u, d, vt = np.linalg.svd(t.T @ s / len(s))
    sign = np.array([1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt))])
    rotation = u @ np.diag(sign) @ vt
    scale = (d * sign).sum() / (s**2).sum(1).mean()
    return np.column_stack([scale * rotation, mean_t - scale * rotation @ mean_s])


RNG = np.random.default_rng(7)
POINTS = {
    "exact": (np.array(ARCFACE), placed(25, 1.7, 40, -9)),
    "noisy": (np.array(ARCFACE), placed(-160, 0.4, 1e3, 5) + RNG.normal(0, 3, (5, 2))),
    "unrelated": (RNG.normal(0, 9, (8, 2)), RNG.normal(0, 9, (8, 2))),
    "mirrored": (np.array(ARCFACE), np.array(ARCFACE) * [-1, 1]),
    "two_points": (np.array([[0.0, 0], [2, 0]]), np.array([[5.0, 5], [5, 9]])),
    "in_line": (np.array([[0.0, 0], [1, 1], [3, 3]]), np.array([[0.0, 1], [0, 3], [0, 7]])),
    "far_away": (np.array(ARCFACE) + 1e6, placed(3, 2, -1e6, 1e6)),
}


@pytest.mark.parametrize(("source", "target"), POINTS.values(), ids=POINTS)
def test_similarity_is_umeyamas(source, target):
    np.testing.assert_allclose(similarity(source, target), umeyama(source, target), rtol=1e-7, atol=1e-6)


@pytest.mark.parametrize(("source", "target"), POINTS.values(), ids=POINTS)
def test_similarity_is_the_least_squares_solution(source, target):
    centre = source.mean(0)
    (x, y), one, zero = (source - centre).T, np.ones(len(source)), np.zeros(len(source))
    rows = np.concatenate([np.stack([x, -y, one, zero], 1), np.stack([y, x, zero, one], 1)])
    a, b, tx, ty = np.linalg.lstsq(rows, target.T.ravel(), rcond=None)[0]
    linear = np.array([[a, -b], [b, a]])
    expected = np.column_stack([linear, [tx, ty] - linear @ centre])
    np.testing.assert_allclose(similarity(source, target), expected, rtol=1e-7, atol=1e-6)


@pytest.mark.parametrize("count", [1, 5])
def test_similarity_of_one_place_only_moves(count):
    matrix = similarity(np.full((count, 2), 3.0), np.arange(2.0 * count).reshape(count, 2))
    np.testing.assert_allclose(matrix[:, :2], np.eye(2), atol=1e-12)
    np.testing.assert_allclose(matrix @ [3, 3, 1], [count - 1, count], atol=1e-12)


def map_back(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    return np.linalg.solve(matrix[:, :2], (points - matrix[:, 2]).T).T


@pytest.mark.parametrize("size", [(112, 112), (224, 224), (56, 96), (1, 1)], ids=str)
@pytest.mark.parametrize("region", [None, (8, 0, 104, 112), (-5.5, 3.25, 90, 120)], ids=str)
def test_landmarks_land_on_the_template_of_region_and_size(region, size):
    landmarks = placed(-18, 1.4, 60, 33)
    matrix = align_matrix(landmarks, geometry(region, *size))
    x0, y0, x1, y1 = region or (0, 0, 112, 112)
    # pixel indices to places (centres at +0.5), into the region, into its size
    expected = (np.array(ARCFACE) + 0.5 - (x0, y0)) / (x1 - x0, y1 - y0) * size
    np.testing.assert_allclose(map_back(matrix, landmarks + 0.5), expected, atol=1e-9)


def as_opencv_cuts(picture, to_canvas, region, border) -> np.ndarray:
    """Warp picture indices to a canvas that holds the region, and crop it."""
    x0, y0, x1, y1 = region or (0, 0, 112, 112)
    shifted = to_canvas - [[0, 0, x0], [0, 0, y0]]
    flag = cv2.BORDER_CONSTANT if border == "black" else cv2.BORDER_REPLICATE
    return cv2.warpAffine(picture, shifted, (x1 - x0, y1 - y0), flags=cv2.INTER_LINEAR, borderMode=flag)


@pytest.mark.parametrize("border", ["black", "replicate"])
@pytest.mark.parametrize(
    "landmarks",
    [placed(0, 1, 0, 0), placed(17, 1.2, 30, 20), placed(-40, 0.6, 70, 90), placed(90, 2.1, 260, -30)],
    ids=["in_place", "inside", "small", "over_the_edge"],
)
@pytest.mark.parametrize(("region", "width", "height"), REGIONS.values(), ids=REGIONS)
def test_aligned_faces_are_opencvs(region, width, height, landmarks, border):
    picture = smooth(201, 233)
    face = cut_face(picture, geometry(region, width, height, border=border), landmarks)
    expected = as_opencv_cuts(picture, umeyama(landmarks, np.array(ARCFACE)), region, border)
    assert face.shape == (height, width, 3)
    assert np.abs(face.astype(int) - expected).max() <= 3


def test_imperfect_landmarks_are_fitted_on_the_canvas_as_norm_crop_does():
    """InsightFace and LowKey estimate picture → template; the inverse of template → picture is 1/r² larger."""
    turned_head = np.array(ARCFACE) * [0.7, 1] + [20, 10] + [[0, 0], [0, 0], [12, 0], [0, 0], [0, 0]]
    to_canvas = umeyama(turned_head, np.array(ARCFACE))
    matrix = align_matrix(turned_head, geometry())
    expected = turned_head @ to_canvas[:, :2].T + to_canvas[:, 2]
    np.testing.assert_allclose(map_back(matrix, turned_head + 0.5) - 0.5, expected, atol=1e-6)


def test_a_region_of_the_canvas_is_the_crop_of_the_whole_canvas():
    picture, landmarks = smooth(150, 180), placed(9, 1.1, 25, 15)
    whole = cut_face(picture, geometry(), landmarks)
    np.testing.assert_array_equal(cut_face(picture, geometry((8, 0, 104, 112), 96, 112), landmarks), whole[:, 8:104])


PHOTO = smooth(45, 61, seed=3)
FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
CROPPED = {
    "odd": PHOTO,
    "one_pixel": PHOTO[:1, :1],
    "one_row": PHOTO[:1],
    "one_column": PHOTO[:, :1],
    "slice": PHOTO[3:41:2, ::-1],
    "reversed_channels": PHOTO[..., ::-1],
}


@pytest.mark.parametrize("interpolation", FILTERS)
@pytest.mark.parametrize("size", [(16, 16), (7, 13), (112, 96), (1, 1)], ids=str)
@pytest.mark.parametrize("picture", CROPPED.values(), ids=CROPPED)
def test_crop_is_pillows_resize(picture, size, interpolation):
    face = cut_face(picture, FaceGeometry(*size, interpolation=interpolation), None)
    expected = np.asarray(Image.fromarray(np.ascontiguousarray(picture)).resize(size, FILTERS[interpolation]))
    np.testing.assert_array_equal(face, expected)


@pytest.mark.parametrize("border", ["black", "replicate"])
@pytest.mark.parametrize("padding", [0.1, 0.3, 1.0])
@pytest.mark.parametrize("picture", [PHOTO, PHOTO[:, :20], PHOTO[:1, :1]], ids=["wide", "tall", "one_pixel"])
def test_padding_widens_every_side_by_its_share(picture, padding, border):
    rows, columns = picture.shape[:2]
    y, x = round(padding * rows), round(padding * columns)
    flag = cv2.BORDER_CONSTANT if border == "black" else cv2.BORDER_REPLICATE
    padded = cv2.copyMakeBorder(np.ascontiguousarray(picture), y, y, x, x, flag)
    same_size = FaceGeometry(columns + 2 * x, rows + 2 * y, padding=padding, border=border)
    np.testing.assert_array_equal(cut_face(picture, same_size, None), padded)
    smaller = FaceGeometry(20, 20, padding=padding, border=border)
    np.testing.assert_array_equal(
        cut_face(picture, smaller, None), np.asarray(Image.fromarray(padded).resize((20, 20), FILTERS["bilinear"]))
    )


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0, 100, 255], [0, 100, 255]),
        ([20, 120, 220], [0, 127, 255]),  # 127.5 is truncated
        ([10, 11, 13], [0, 85, 255]),
        ([7, 7, 7], [0, 0, 0]),
        ([0, 0, 0], [0, 0, 0]),
        ([255, 255, 255], [0, 0, 0]),
        ([0, 1, 2], [0, 127, 255]),
    ],
)
def test_stretch_maps_the_range_to_0_255_and_truncates(values, expected):
    assert stretch(np.array([[values]], np.uint8)).tolist() == [[expected]]


def test_stretch_takes_one_range_for_all_channels():
    picture = np.array([[[50, 60, 70], [100, 150, 50]]], np.uint8)
    assert stretch(picture).tolist() == [[[0, 25, 51], [127, 255, 0]]]


def test_cutting_changes_nothing_in_the_picture():
    picture = PHOTO.copy()
    cut_face(picture, FaceGeometry(9, 9, padding=0.2, stretch=True), None)
    cut_face(picture, geometry(), placed(0, 0.3, 5, 5))
    np.testing.assert_array_equal(picture, PHOTO)


@pytest.mark.shared
@pytest.mark.parametrize("size", [112, 224])
@pytest.mark.parametrize(("stretched", "name"), [(True, "resize"), (False, "resize_plain_pil")])
def test_crops_are_the_originals_bits(size, stretched, name, golden):
    with np.load(golden / "units.npz") as units:
        photo, expected = units["faces/photo"], units[f"faces/{name}_{size}"]
    face = cut_face(photo, FaceGeometry(size, size, interpolation="bicubic", stretch=stretched), None)
    np.testing.assert_array_equal(face, expected)


@pytest.mark.shared
def test_stretching_twice_is_fawkes_face_tensor(golden):
    with np.load(golden / "units.npz") as units:
        photo, expected = units["faces/photo"], units["faces/v10_noalign_cropped"][0]
    tensor = FaceGeometry(112, 112, interpolation="bicubic", stretch=True)
    np.testing.assert_array_equal(cut_face(cut_face(photo, tensor, None), tensor, None), expected)


def extracted(picture: np.ndarray, box, margin: int, side: int) -> np.ndarray:
    """facenet-pytorch's `extract_face` for a Pillow picture, step by step."""
    add = [margin * (box[2] - box[0]) / (side - margin), margin * (box[3] - box[1]) / (side - margin)]
    height, width = picture.shape[:2]
    corners = (
        int(max(box[0] - add[0] / 2, 0)), int(max(box[1] - add[1] / 2, 0)),
        int(min(box[2] + add[0] / 2, width)), int(min(box[3] + add[1] / 2, height)),
    )  # fmt: skip
    return np.array(Image.fromarray(picture).crop(corners).resize((side, side), Image.Resampling.BILINEAR))


@pytest.mark.parametrize("margin", [0, 32, 44])
@pytest.mark.parametrize(
    "box",
    [(40.2, 30.7, 130.9, 150.1), (-5.0, -9.5, 60.0, 70.0), (150.0, 120.0, 230.0, 190.0), (10.0, 10.0, 11.5, 11.5)],
    ids=["inside", "beyond the first corner", "beyond the last corner", "tiny"],
)
def test_a_box_is_cut_with_its_margin_as_facenet_pytorch_does(box, margin):
    picture = smooth(160, 200)
    found = cut_face(picture, FaceGeometry(160, 160, "box", margin=margin), None, np.array(box))
    np.testing.assert_array_equal(found, extracted(picture, box, margin, 160))


def test_a_box_outside_of_the_picture_holds_no_face():
    with pytest.raises(np.linalg.LinAlgError, match="no pixel"):
        cut_face(smooth(40, 40), FaceGeometry(16, 16, "box"), None, np.array([50.0, 50, 60, 60]))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"mode": "crop", "margin": 8}, 'margin belongs to face mode "box"'),
        ({"mode": "box", "margin": 16}, "fewer than its sides, not 16"),
        ({"mode": "box", "margin": -1}, "fewer than its sides, not -1"),
        ({"mode": "box", "padding": 0.1}, 'do not belong to face mode "box"'),
        ({"mode": "box", "template": ARCFACE}, 'belong to face mode "align"'),
    ],
)
def test_what_a_box_cannot_have_is_named(options, says):
    with pytest.raises(InputError, match=says):
        FaceGeometry(16, 16, **options)


def test_digests_of_geometries_without_a_margin_are_what_they_were():
    assert "margin" not in FaceGeometry(16, 16).values()
    assert FaceGeometry(16, 16, "box", margin=2).digest != FaceGeometry(16, 16, "box").digest

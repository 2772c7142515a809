"""Faces cut from decoded pictures: landmarks to a template, or the whole picture resized."""

from __future__ import annotations

from typing import Literal

import numpy as np
from PIL import Image

from facecure.kernels import warp_faces
from facecure.types import F32, F64, U8, FaceGeometry

_FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


def similarity(source: F64, target: F64) -> F64:
    """Return the 2×3 similarity that maps `source` points nearest to `target`, both float64 (N, 2).

    Least squares over scale, rotation and translation without reflection: Umeyama, PAMI 13(4), 1991, eq. 40-43.
    In two dimensions the optimum is one complex ratio, so no SVD is needed.
    """
    mean_s, mean_t = source.mean(axis=0), target.mean(axis=0)
    s = (source - mean_s) @ np.array([1, 1j])
    t = (target - mean_t) @ np.array([1, 1j])
    power = np.vdot(s, s).real
    factor = np.vdot(s, t) / power if power > 0 else 1.0 + 0j
    a, b = factor.real, factor.imag
    linear = np.array([[a, -b], [b, a]])
    return np.column_stack([linear, mean_t - linear @ mean_s])


def align_matrix(landmarks: F64, geometry: FaceGeometry) -> F64:
    """Return float64 (2, 3): face point → picture point, pixel centres at +0.5, for `kernels.warp_faces`.

    Landmarks and template are pixel indices (a pixel's centre is its index), the convention of the published
    templates and of `cv2.warpAffine`, under which the extractors were trained. Canvas region and input size are
    composed into the same matrix.
    """
    assert geometry.canvas is not None
    assert geometry.template is not None
    # fitted on the canvas, as the extractors' own alignment does, and inverted
    to_canvas = similarity(landmarks, np.array(geometry.template))
    inverse = np.linalg.inv(to_canvas[:, :2])
    x0, y0, x1, y1 = geometry.region or (0, 0, *geometry.canvas)
    scale = np.diag([(x1 - x0) / geometry.width, (y1 - y0) / geometry.height])
    # face (centres at +0.5) -> canvas (centres at +0.5) -> canvas index -> picture index -> picture (centres at +0.5)
    shift = inverse @ (np.array([x0 - 0.5, y0 - 0.5]) - to_canvas[:, 2]) + 0.5
    return np.column_stack([inverse @ scale, shift])


def cut_face(picture: U8, geometry: FaceGeometry, landmarks: F64 | None, box: F64 | None = None) -> U8:
    """Return one face, uint8 (h, w, 3) RGB, of the uint8 RGB `picture`.

    Mode `align` needs the face's `landmarks`, mode `box` its `box`, left, top, right, bottom.
    """
    if geometry.mode == "align":
        assert landmarks is not None
        matrix = align_matrix(landmarks, geometry)
        size = geometry.width, geometry.height
        faces: U8 = warp_faces(picture, matrix, size, border=geometry.border, threads=1)
        return faces[0]  # type: ignore[no-any-return]
    if geometry.mode == "box":
        assert box is not None
        picture = framed(picture, box, geometry)
    if geometry.padding:
        rows, columns = (round(geometry.padding * side) for side in picture.shape[:2])
        mode: Literal["constant", "edge"] = "constant" if geometry.border == "black" else "edge"
        picture = np.pad(picture, ((rows, rows), (columns, columns), (0, 0)), mode=mode)
    if geometry.stretch:
        picture = stretch(picture)
    # Pillow's antialiased resize is what the study and the extractors' own loaders do to whole pictures
    face = Image.fromarray(picture).resize((geometry.width, geometry.height), _FILTERS[geometry.interpolation])
    return np.array(face)


def framed(picture: U8, box: F64, geometry: FaceGeometry) -> U8:
    """Return the part of the picture inside a box widened by the geometry's margin, in whole pixels towards its start.

    Whatever lies outside the picture is left off. Raises `LinAlgError` where nothing is left.
    """
    size = np.array([geometry.width, geometry.height])
    more = geometry.margin * (box[2:] - box[:2]) / (size - geometry.margin) / 2
    low = np.maximum(box[:2] - more, 0).astype(int)
    high = np.minimum(box[2:] + more, picture.shape[1::-1]).astype(int)
    if (low >= high).any():
        raise np.linalg.LinAlgError("the box holds no pixel of the picture")
    return picture[low[1] : high[1], low[0] : high[0]]


def stretch(picture: U8 | F32) -> U8:
    """Return the picture with its values mapped from min…max to 0…255, one range for all channels, truncated.

    Keras' `array_to_img` with `scale=True`, as Fawkes applies it before each resize (docs/protocol.md §1.2, quirk Q3).
    """
    values = picture.astype(np.float32)
    values -= values.min()
    top = values.max()
    if top > 0:
        values /= top
    return (values * np.float32(255)).astype(np.uint8)

"""The half of a LowKey iteration that is not the networks' (docs/protocol.md §6), and its twin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic

import numpy as np

from facecure import _core
from facecure.kernels.dssim import A
from facecure.kernels.fawkes import View
from facecure.threads import thread_count
from facecure.types import F32, F64


@dataclass(frozen=True)
class Views(View):
    """How extractors see pictures and their mirror images.

    There are two views of each picture, plain and smoothed, or with `mirrored` four: plain, mirrored, smoothed, and
    smoothed and mirrored.
    """

    mirrored: bool = False

    @property
    def count(self) -> int:
        """Return how many views a picture has."""
        return 4 if self.mirrored else 2


@dataclass(frozen=True)
class LowKeyPlanes(Generic[A]):
    """What a step changes in place, float32, contiguous: `pictures` (N, 3, H, W), H and W more than 3, and `views`.

    `views` (views, N, 3, H, W) are the pictures as `kind` tells; `window` (7,) smooths along both axes, with reflected
    borders.
    """

    pictures: A
    views: A
    window: A
    kind: Views = Views()  # frozen


@dataclass(frozen=True)
class LowKeyMove(Generic[A]):
    """How pictures move: by `step` against the sign of the gradient of visible_weight · visible change − distance.

    `by_view` float32 (views, N, 3, H, W) is the feature distance's gradient with respect to what `views` holds,
    `by_visible` (N, 3, H, W) the visible change's with respect to the pictures, or None for 0.
    """

    by_view: A
    by_visible: A | None = None
    visible_weight: float = 0.0
    step: float = 0.0


def lowkey_step(
    planes: LowKeyPlanes[F32], move: LowKeyMove[F32] | None, *, threads: int = 0, simd: str | None = None
) -> None:
    """Step the pictures and rewrite their views, in place; without a `move` only the latter.

    The same bits for every instruction set and thread count. Raises `ValueError` where shapes do not fit, `TypeError`
    where what is changed is not contiguous float32.
    """
    _core.lowkey_step(planes=planes, move=move, threads=thread_count(threads), simd=simd)


def lowkey_step_numpy(planes: LowKeyPlanes[F64], move: LowKeyMove[F32] | None) -> F64:
    """Return the loss's gradient (N, 3, H, W), and change what `lowkey_step` changes, in float64 by the definition.

    Smoothing is a matrix for each axis, so that its transpose is one.
    """
    pictures, kind = planes.pictures, planes.kind
    down, across = (_smoothing(size, planes.window) for size in pictures.shape[2:])
    mean, std = (np.asarray(values, np.float64).reshape(3, 1, 1) for values in (kind.mean, kind.std))
    order = list(kind.channels)
    gradient = np.zeros_like(pictures)
    if move is not None:
        parts = np.zeros((2, *pictures.shape))
        for number, part in enumerate(move.by_view.astype(np.float64) / std):
            turned = kind.mirrored and number % 2
            parts[number // (kind.count // 2)][:, order] += part[..., ::-1] if turned else part
        gradient = -parts[0] - np.einsum("yi,ncyx,xj->ncij", down, parts[1], across)
        if move.by_visible is not None:
            gradient += move.visible_weight * move.by_visible
        pictures -= move.step * np.sign(gradient)
    shown = []
    for picture in (pictures, np.einsum("iy,ncyx,jx->ncij", down, pictures, across)):
        view = (picture[:, order] - mean) / std
        shown += [view, view[..., ::-1]] if kind.mirrored else [view]
    planes.views[:] = np.stack(shown)
    return gradient


def _smoothing(size: int, window: F64) -> F64:
    """Return the matrix (size, size) that smooths a column with reflected borders."""
    matrix, half = np.zeros((size, size)), len(window) // 2
    for y, row in enumerate(np.pad(np.arange(size), half, mode="reflect")):
        for k, weight in enumerate(window):
            if 0 <= y - k < size:
                matrix[y - k, row] += weight
    return matrix

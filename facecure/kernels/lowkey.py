"""The half of a LowKey iteration that is not the networks' (docs/protocol.md §6), and its twin."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facecure import _core
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


def lowkey_step(
    pictures: F32,
    views: F32,
    by_view: F32 | None,
    by_visible: F32 | None,
    kind: Views,
    window: F32,
    *,
    visible_weight: float = 0.0,
    step: float = 0.0,
    threads: int = 0,
    simd: str | None = None,
) -> None:
    """Return nothing; step `pictures` float32 (N, 3, H, W) by the sign of the loss's gradient and rewrite `views`.

    The loss is visible_weight · visible change − feature distance; `by_view` float32 (views, N, 3, H, W) is the
    latter's gradient with respect to what `views` holds, `by_visible` (N, 3, H, W) the former's, or None for 0. Without
    `by_view` nothing moves. `window` (7,) smooths along both axes, with reflected borders; H and W are more than 3. The
    same bits for every instruction set and thread count. Raises `ValueError` where shapes do not fit, `TypeError` where
    what is changed is not contiguous float32.
    """
    _core.lowkey_step(
        pictures=pictures,
        views=views,
        by_view=None if by_view is None else np.ascontiguousarray(by_view),
        by_visible=None if by_visible is None else np.ascontiguousarray(by_visible),
        weights=window,
        mean=list(kind.mean),
        std=list(kind.std),
        channels=list(kind.channels),
        visible_weight=visible_weight,
        step=step,
        mirrored=kind.mirrored,
        threads=thread_count(threads),
        simd=simd,
    )


def lowkey_step_numpy(
    pictures: F64,
    views: F64,
    by_view: F32 | None,
    by_visible: F32 | None,
    kind: Views,
    window: F32,
    *,
    visible_weight: float = 0.0,
    step: float = 0.0,
) -> F64:
    """Return the loss's gradient (N, 3, H, W), and change what `lowkey_step` changes, in float64 by the definition.

    Smoothing is a matrix for each axis, so that its transpose is one.
    """
    down, across = (_smoothing(size, window) for size in pictures.shape[2:])
    mean, std = (np.asarray(values, np.float64).reshape(3, 1, 1) for values in (kind.mean, kind.std))
    order = list(kind.channels)
    gradient = np.zeros_like(pictures)
    if by_view is not None:
        parts = np.zeros((2, *pictures.shape))
        for number, part in enumerate(by_view.astype(np.float64) / std):
            turned = kind.mirrored and number % 2
            parts[number // (kind.count // 2)][:, order] += part[..., ::-1] if turned else part
        gradient = -parts[0] - np.einsum("yi,ncyx,xj->ncij", down, parts[1], across)
        if by_visible is not None:
            gradient += visible_weight * by_visible
        pictures -= step * np.sign(gradient)
    shown = []
    for picture in (pictures, np.einsum("iy,ncyx,jx->ncij", down, pictures, across)):
        view = (picture[:, order] - mean) / std
        shown += [view, view[..., ::-1]] if kind.mirrored else [view]
    views[:] = np.stack(shown)
    return gradient


def _smoothing(size: int, window: F32) -> F64:
    """Return the matrix (size, size) that smooths a column with reflected borders."""
    matrix, half = np.zeros((size, size)), len(window) // 2
    for y, row in enumerate(np.pad(np.arange(size), half, mode="reflect")):
        for k, weight in enumerate(window):
            if 0 <= y - k < size:
                matrix[y - k, row] += weight
    return matrix

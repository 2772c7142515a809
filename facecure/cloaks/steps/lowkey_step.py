"""The half of a LowKey iteration that is not the networks': sign steps, and the pictures as extractors see them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from facecure.cloaks.steps.dssim import arrays, native_device
from facecure.cloaks.steps.gaussian import LOWKEY, smooth, smooth_transposed
from facecure.kernels import LowKeyMove, LowKeyPlanes, Views
from facecure.kernels import lowkey_step as native_step
from facecure.kernels.cloak_steps_cuda import lowkey_step_cuda

STEP = 0.0025
PENALTY = 0.05  # of LPIPS


class PlainStep:
    """The step in torch, for any device and dtype: what the native one is measured against.

    `pictures` (N, 3, H, W) are in 0…1; `views` (2 or 4, N, 3, H, W) are what extractors see of them, by `kind`.
    """

    def __init__(self, pictures: Tensor, kind: Views) -> None:
        self.kind = kind
        self._mean, self._std = (pictures.new_tensor(values).reshape(3, 1, 1) for values in (kind.mean, kind.std))
        self.place(pictures)

    def place(self, pictures: Tensor) -> None:
        """Put the pictures where they are told."""
        self.pictures, seen = pictures, []
        for picture in (pictures, smooth(pictures)):
            view = (picture[:, list(self.kind.channels)] - self._mean) / self._std
            seen += [view, view.flip(3)] if self.kind.mirrored else [view]
        self.views = torch.stack(seen)

    def gradient(self, by_view: Tensor, by_visible: Tensor | None) -> Tensor:
        """Return the gradient (N, 3, H, W) of 0.05 · visible change − feature distance, given those of either."""
        parts = by_view[0::2] + by_view[1::2].flip(4) if self.kind.mirrored else by_view
        parts = (parts / self._std)[:, :, np.argsort(self.kind.channels).tolist()]
        gradient = -parts[0] - smooth_transposed(parts[1])
        return gradient if by_visible is None else gradient + PENALTY * by_visible

    def __call__(self, by_view: Tensor, by_visible: Tensor | None) -> None:
        """Step every value by 0.0025 of the range."""
        self.place(self.pictures.sub(self.gradient(by_view, by_visible).sign(), alpha=STEP))


class NativeStep:
    """The step in one native call, for float32: `kernels.lowkey_step`, or its CUDA twin on the current stream.

    Attributes as in `PlainStep`.
    """

    def __init__(self, pictures: Tensor, kind: Views) -> None:
        self.kind, self._on_cuda = kind, native_device(pictures) == "cuda"
        self.pictures = pictures.clone(memory_format=torch.contiguous_format)
        self.views = pictures.new_empty((kind.count, *pictures.shape))
        planes = LowKeyPlanes(self.pictures, self.views, pictures.new_tensor(LOWKEY), kind)
        self._planes: LowKeyPlanes[Any] = planes if self._on_cuda else arrays(planes)
        self._step(None)

    def place(self, pictures: Tensor) -> None:
        """Put the pictures where they are told."""
        self.pictures.copy_(pictures)
        self._step(None)

    def __call__(self, by_view: Tensor, by_visible: Tensor | None) -> None:
        """Step every value by 0.0025 of the range."""
        visible = None if by_visible is None else self._taken(by_visible)
        self._step(LowKeyMove(self._taken(by_view), visible, PENALTY, STEP))

    def _taken(self, gradient: Tensor) -> Any:
        """Return a gradient as the kernel takes it."""
        return gradient.contiguous() if self._on_cuda else gradient.numpy()

    def _step(self, move: LowKeyMove[Any] | None) -> None:
        if self._on_cuda:
            lowkey_step_cuda(self._planes, move)
        else:
            native_step(self._planes, move, threads=torch.get_num_threads())


def lowkey_step(pictures: Tensor, kind: Views) -> PlainStep | NativeStep:
    """Return the step for where the pictures are, native if it can be."""
    return (PlainStep if native_device(pictures) is None else NativeStep)(pictures, kind)

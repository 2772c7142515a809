"""What a step trains on: a person drawn uniformly, then one of that person's pictures (docs/protocol.md §8)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from facecure.errors import InputError
from facecure.extractors.graph import sides
from facecure.extractors.spec import ExtractorSpec
from facecure.kernels import Normalise, normalise_faces
from facecure.types import I64, U8, Bool

if TYPE_CHECKING:
    from torch import Tensor

BATCH = 32
MIRROR = 0.25  # of the released code, whose two draws of one half both have to hold (Q26)


class UniformClasses:
    """Rows of a training set, a step at a time: a class uniformly with replacement, then one of its rows uniformly.

    A step's draw depends on seed and step alone, so a run that was interrupted goes on as if it had not been.
    """

    def __init__(self, labels: I64, seed: int, *, batch: int = BATCH, mirror: float = MIRROR) -> None:
        if not len(labels):
            raise InputError("there is no picture to train on")
        order = np.argsort(labels, kind="stable")
        _, starts = np.unique(labels[order], return_index=True)
        self._rows = np.split(order, starts[1:])
        self._seed, self._batch, self._mirror = seed, batch, mirror

    def __call__(self, step: int) -> tuple[I64, Bool]:
        """Return the rows of a step, int64 (batch,), and which of them are mirrored."""
        rng = np.random.default_rng([self._seed, step])
        classes = rng.integers(len(self._rows), size=self._batch)
        # one number in 0…1 per picture: classes have different lengths
        place = rng.random(self._batch)
        rows = [self._rows[c][int(p * len(self._rows[c]))] for c, p in zip(classes, place, strict=True)]
        return np.array(rows, np.int64), rng.random(self._batch) < self._mirror


class NetworkInput:
    """Faces as a network takes them, by its extractor's normalisation."""

    def __init__(self, spec: ExtractorSpec, pixels: U8) -> None:
        """`pixels` uint8 (N, H, W, 3) RGB, of the extractor's geometry."""
        if spec.layout != "NCHW":
            raise InputError(f"extractor {spec.name}: torch networks take NCHW, not {spec.layout}")
        self._pixels, self._sides = pixels, sides(spec)
        self._normalise = Normalise(spec.mean, spec.std, spec.colour)

    def __call__(self, rows: I64, mirrored: Bool) -> Tensor:
        """Return float32 (n, 3, H, W): the faces of `rows`, flipped left to right where `mirrored`."""
        import torch

        pixels = self._pixels[rows]
        pixels[mirrored] = pixels[mirrored][:, :, ::-1]
        planes = np.empty((len(rows), *self._sides), np.float32)
        normalise_faces(pixels, self._normalise, planes)
        return torch.from_numpy(planes)

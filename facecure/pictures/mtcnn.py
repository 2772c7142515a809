"""MTCNN (arXiv 1604.02878) with facenet-pytorch's weights and constants: the detector of Fawkes and LowKey.

Three networks look at ever fewer windows in ever finer detail; each window that passes is moved by what its network
regressed, and the last network adds five landmarks.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from facecure.errors import InputError, MissingDependency
from facecure.pictures.detect import DetectedFace, Detector, main_first, read_weights
from facecure.types import F32, I64, U8, Bool, digest_of

if TYPE_CHECKING:
    from torch import Tensor

SMALLEST = 20  # pixels of a face's side
FACTOR = 0.709  # from one scale to the next
THRESHOLDS = (0.6, 0.7, 0.7)
_CELL, _STRIDE = 12, 2  # window and step of the first network
_BATCH = 512  # windows per pass: a crowd must not fill the memory


class Mtcnn(Detector):
    """MTCNN from its three files. Safe to call from several threads."""

    def __init__(self, first: Path, second: Path, third: Path) -> None:
        try:
            from facecure.pictures.mtcnn_networks import Stage
            from facecure.weights.pytorch import read_pytorch
        except ImportError as error:
            raise MissingDependency("torch", "cpu") from error
        self.file = first
        data = [read_weights(file) for file in (first, second, third)]
        self.sha256 = hashlib.sha256(b"".join(hashlib.sha256(one).digest() for one in data)).hexdigest()
        self._networks = [Stage(number) for number in range(3)]
        for network, one, file in zip(self._networks, data, (first, second, third), strict=True):
            try:
                network.load_state_dict(read_pytorch(one))
            except (InputError, RuntimeError) as error:
                raise InputError(f"detector {file} is not that file of MTCNN: {error}") from error
            network.eval().requires_grad_(False)

    @property
    def digest(self) -> str:
        """Hex SHA-256 of the weights and every constant that decides which face is found where."""
        return digest_of([self.sha256, SMALLEST, FACTOR, *THRESHOLDS])

    def faces(self, picture: U8) -> list[DetectedFace]:
        """Return all faces of the uint8 RGB `picture`, the main one first, the rest as sure as the network is of them.

        A box is what facenet-pytorch returns for it, landmarks are pixel indices.
        """
        import torch

        with torch.inference_mode():
            pixels = torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)[None].float()
            boxes = self._windows(pixels)
            boxes, _ = self._refine(pixels, boxes, 1, 24)
            boxes = _square(boxes)
            boxes, points = self._refine(pixels, boxes, 2, 48)
        keep = _suppress(boxes, 0.7, last=True)
        found, points = boxes[keep].astype(np.float64), points[keep].astype(np.float64)
        order = main_first(found[:, :4], found[:, 4], (picture.shape[1], picture.shape[0]))
        return [DetectedFace(found[row, :4], points[row]) for row in order]

    def _windows(self, pixels: Tensor) -> F32:
        """Return the squares that the first network lets pass, float32 (N, 5): corners from 1, and its certainty."""
        height, width = pixels.shape[2:]
        found = []
        scale = _CELL / SMALLEST
        while min(height, width) * scale >= _CELL:
            moves, sure = self._networks[0](_resampled(pixels, (int(height * scale + 1), int(width * scale + 1))))
            rows, columns = (sure[0, 1] >= THRESHOLDS[0]).nonzero().T.numpy()
            corner = np.stack([columns, rows], 1).astype(np.float32)
            start = np.floor((_STRIDE * corner + 1) / scale)
            end = np.floor((_STRIDE * corner + _CELL) / scale)
            boxes = np.concatenate([start, end, sure[0, 1, rows, columns][:, None], moves[0, :, rows, columns].T], 1)
            found.append(boxes[_suppress(boxes, 0.5)])
            scale *= FACTOR
        boxes = np.concatenate(found) if found else np.empty((0, 9), np.float32)
        boxes = boxes[_suppress(boxes, 0.7)]
        sides = np.tile(boxes[:, 2:4] - boxes[:, :2], 2)
        return _square(np.concatenate([boxes[:, :4] + boxes[:, 5:9] * sides, boxes[:, 4:5]], 1))

    def _refine(self, pixels: Tensor, boxes: F32, stage: int, side: int) -> tuple[F32, F32]:
        """Return the boxes that a later network lets pass, moved, and the landmarks of the last, (N, 5, 2)."""
        import torch

        height, width = pixels.shape[2:]
        whole = np.trunc(boxes[:, :4]).astype(np.int64)
        left, top = np.maximum(whole[:, 0], 1), np.maximum(whole[:, 1], 1)
        right, bottom = np.minimum(whole[:, 2], width), np.minimum(whole[:, 3], height)
        inside = np.flatnonzero((right >= left) & (bottom >= top))
        boxes = boxes[inside]
        if not len(boxes):
            return np.empty((0, 5), np.float32), np.empty((0, 5, 2), np.float32)
        cut = [_resampled(pixels[:, :, top[i] - 1 : bottom[i], left[i] - 1 : right[i]], (side, side)) for i in inside]
        parts = [self._networks[stage](torch.cat(cut[i : i + _BATCH])) for i in range(0, len(cut), _BATCH)]
        moves, *places, sure = (torch.cat(values).numpy() for values in zip(*parts, strict=True))
        passed = sure[:, 1] > THRESHOLDS[stage]
        boxes = np.concatenate([boxes[passed, :4], sure[passed, 1:]], 1)
        moves = moves[passed]
        points = np.empty((len(boxes), 5, 2), np.float32)
        if places:
            shares = places[0][passed].reshape(-1, 2, 5).transpose(0, 2, 1)
            points = boxes[:, None, :2] + shares * (boxes[:, 2:4] - boxes[:, :2] + 1)[:, None] - 1
        else:
            keep = _suppress(boxes, 0.7)
            boxes, moves, points = boxes[keep], moves[keep], points[keep]
        boxes[:, :4] += moves * np.tile(boxes[:, 2:4] - boxes[:, :2] + 1, 2)
        return boxes, points


def _square(boxes: F32) -> F32:
    """Return boxes grown to squares around their middles."""
    sides = boxes[:, 2:4] - boxes[:, :2]
    side = sides.max(1, keepdims=True) if len(sides) else np.empty((0, 1), np.float32)
    corner = boxes[:, :2] + sides * 0.5 - side * 0.5
    return np.concatenate([corner, corner + side, boxes[:, 4:]], 1)


def _suppress(boxes: F32, overlap: float, *, last: bool = False) -> I64:
    """Return the rows that remain, the surest first, when each takes out those that it overlaps by more.

    Overlap is intersection over union. In the `last` suppression it is intersection over the smaller of both, corners
    count as pixels, and of equally sure boxes, such as those that are one and the same within the picture, the last
    wins: so facenet-pytorch has it.
    """
    order = np.argsort(boxes[:, 4], kind="stable")[::-1] if last else np.argsort(-boxes[:, 4], kind="stable")
    areas = np.prod(boxes[:, 2:4] - boxes[:, :2] + last, axis=1)
    keep = []
    while len(order):
        best, rest = order[0], order[1:]
        keep.append(best)
        start, end = np.maximum(boxes[best, :2], boxes[rest, :2]), np.minimum(boxes[best, 2:4], boxes[rest, 2:4])
        common = np.prod(np.maximum(end - start + last, 0), axis=1)
        whole = np.minimum(areas[best], areas[rest]) if last else areas[best] + areas[rest] - common
        apart: Bool = common <= overlap * whole
        order = rest[apart]
    return np.array(keep, np.int64)


def _resampled(pixels: Tensor, size: tuple[int, int]) -> Tensor:
    """Return pixels averaged over the areas of another raster, scaled to −1…1."""
    from torch.nn import functional

    return (functional.interpolate(pixels, size=size, mode="area") - 127.5) * 0.0078125

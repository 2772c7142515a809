"""Faces from pictures: `warp_faces` and its twin."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, overload

import numpy as np
import numpy.typing as npt

from facecure import _core
from facecure.errors import InputError
from facecure.kernels.bf16 import BF16, to_bf16
from facecure.kernels.normalise import Layout, Normalise
from facecure.threads import thread_count
from facecure.types import F32, F64, U8

Border = Literal["black", "replicate"]
Pictures = Sequence[U8] | U8

_LARGEST = 1e300  # entry of a matrix: sums over the points of any face stay finite


def _checked(pictures: Pictures, matrices: npt.ArrayLike, size: tuple[int, int]) -> tuple[list[U8], F64]:
    """Return contiguous pictures, one per face, and float64 (N, 2, 3) matrices."""
    stack = np.ascontiguousarray(matrices, dtype=np.float64)
    if stack.ndim == 2:
        stack = stack[None]
    if stack.ndim != 3 or stack.shape[1:] != (2, 3) or not (np.abs(stack) < _LARGEST).all():
        raise InputError(f"matrices must be (N, 2, 3) with finite entries below {_LARGEST:g}, not {stack.shape}")
    if min(size) < 1:
        raise InputError(f"size (width, height) must be positive, not {size}")
    single = isinstance(pictures, np.ndarray) and pictures.ndim == 3
    several: list[U8] = [pictures] * len(stack) if single else list(pictures)  # type: ignore[list-item]
    if len(several) != len(stack):
        raise InputError(f"{len(several)} pictures but {len(stack)} matrices; give one matrix per face")
    for picture in several:
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or picture.size == 0:
            raise InputError(f"a picture must be uint8 (H, W, 3), H, W > 0, not {picture.dtype} {picture.shape}")
    if single and several:
        return [np.ascontiguousarray(several[0])] * len(stack), stack
    return [np.ascontiguousarray(picture) for picture in several], stack


@overload
def warp_faces(
    pictures: Pictures, matrices: npt.ArrayLike, size: tuple[int, int], *, layout: Layout | None = ...,
    border: Border = ..., threads: int = ..., simd: str | None = ...,
) -> U8: ...  # fmt: skip
@overload
def warp_faces(
    pictures: Pictures, matrices: npt.ArrayLike, size: tuple[int, int], *, normalise: Normalise,
    layout: Layout | None = ..., border: Border = ..., threads: int = ..., simd: str | None = ...,
) -> F32: ...  # fmt: skip
@overload
def warp_faces(
    pictures: Pictures, matrices: npt.ArrayLike, size: tuple[int, int], *, normalise: Normalise,
    dtype: Literal["bfloat16"], layout: Layout | None = ..., border: Border = ..., threads: int = ...,
    simd: str | None = ...,
) -> BF16: ...  # fmt: skip
def warp_faces(
    pictures: Pictures,
    matrices: npt.ArrayLike,
    size: tuple[int, int],
    *,
    normalise: Normalise | None = None,
    dtype: Literal["bfloat16"] | None = None,
    layout: Layout | None = None,
    border: Border = "black",
    threads: int = 0,
    simd: str | None = None,
) -> U8 | F32 | BF16:
    """Return faces as uint8 (N, h, w, 3) RGB or, with `normalise`, float32 (N, 3, h, w).

    `dtype="bfloat16"` rounds the normalised values to nearest even and returns their bits as uint16; `layout`, "NHWC"
    or "NCHW", replaces the order above.

    `pictures` is one uint8 RGB picture (H, W, 3) for all faces or one per face; `matrices` float64 (N, 2, 3) maps
    a face point to its picture point, both in coordinates where pixel (0, 0) has its centre at (0.5, 0.5); `size`
    is (w, h). The value is the float64 bilinear interpolation of the four neighbours, rounded half up, so results do
    not depend on instruction set or thread count. `border`: outside the picture lies "black" (0, blended with the
    edge pixel across the last half pixel) or the nearest edge pixel ("replicate"). `threads` 0 = all available. `simd`
    forces scalar, avx2 or avx512 (for tests); default: the widest this CPU has.

    The fused output equals `normalise(uint8 output)` exactly. Raises `InputError` on wrong shapes, dtypes or
    non-finite matrices.

    >>> picture = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    >>> shift = [[1, 0, 1], [0, 1, 2]]  # a face's point (x, y) lies at (x + 1, y + 2)
    >>> face = warp_faces(picture, shift, (2, 2))
    >>> np.array_equal(face[0], picture[2:4, 1:3])
    True
    """
    several, stack = _checked(pictures, matrices, size)
    _check_options(border, layout, dtype, normalise)
    table: F32 | BF16 | None = None if normalise is None else normalise.table
    if normalise is not None and dtype == "bfloat16":
        table = to_bf16(normalise.table)
    return _core.warp_faces(
        pictures=several,
        matrices=stack,
        width=size[0],
        height=size[1],
        replicate=border == "replicate",
        table=table,
        channels=(0, 1, 2) if normalise is None else normalise.channels,
        planar=layout == "NCHW" if layout else normalise is not None,
        threads=thread_count(threads),
        simd=simd,
    )


def warp_faces_numpy(
    pictures: Pictures,
    matrices: npt.ArrayLike,
    size: tuple[int, int],
    *,
    normalise: Normalise | None = None,
    dtype: Literal["bfloat16"] | None = None,
    layout: Layout | None = None,
    border: Border = "black",
) -> U8 | F32 | BF16:
    """Return what `warp_faces` returns, computed by plain numpy: the definition."""
    several, stack = _checked(pictures, matrices, size)
    _check_options(border, layout, dtype, normalise)
    width, height = size
    faces = np.empty((len(stack), height, width, 3), np.uint8)
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    for face, picture, m in zip(faces, several, stack, strict=True):
        rows, columns = picture.shape[:2]
        px = np.clip(m[0, 0] * x + m[0, 1] * y + m[0, 2] - 0.5, -2, columns + 1)
        py = np.clip(m[1, 0] * x + m[1, 1] * y + m[1, 2] - 0.5, -2, rows + 1)
        x0, y0 = np.floor(px).astype(int), np.floor(py).astype(int)
        fx, fy = (px - x0)[..., None], (py - y0)[..., None]

        def tap(tx: npt.NDArray[np.int_], ty: npt.NDArray[np.int_], picture: U8 = picture) -> F64:
            rows, columns = picture.shape[:2]
            values = picture[np.clip(ty, 0, rows - 1), np.clip(tx, 0, columns - 1)].astype(np.float64)
            if border == "black":
                values[(tx < 0) | (tx >= columns) | (ty < 0) | (ty >= rows)] = 0
            return values

        upper = tap(x0, y0) * (1 - fx) + tap(x0 + 1, y0) * fx
        lower = tap(x0, y0 + 1) * (1 - fx) + tap(x0 + 1, y0 + 1) * fx
        face[:] = np.floor(upper * (1 - fy) + lower * fy + 0.5)
    planes: npt.NDArray[Any] = faces.transpose(0, 3, 1, 2) if normalise is None else normalise(faces)
    if dtype == "bfloat16":
        planes = to_bf16(planes)
    planar = layout == "NCHW" if layout else normalise is not None
    return np.ascontiguousarray(planes if planar else planes.transpose(0, 2, 3, 1))


def _check_options(border: str, layout: str | None, dtype: str | None, normalise: Normalise | None) -> None:
    if border not in ("black", "replicate"):
        raise InputError(f"border is black or replicate, not {border!r}")
    if layout not in (None, "NHWC", "NCHW"):
        raise InputError(f"layout is NHWC or NCHW, not {layout!r}")
    if dtype not in (None, "bfloat16") or (dtype and normalise is None):
        raise InputError(f"dtype is bfloat16, and only with normalise, not {dtype!r}")

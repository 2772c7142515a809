"""The compiled extension: checked entry points without defaults; call them through facecure.kernels."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from facecure.kernels.cloak_steps_cuda import DssimSums
from facecure.kernels.dssim import DssimSource
from facecure.kernels.fawkes import FawkesMove, FawkesPlanes
from facecure.kernels.lowkey import LowKeyMove, LowKeyPlanes

def warp_faces(
    *,
    pictures: Sequence[npt.NDArray[np.uint8]],
    matrices: npt.NDArray[np.float64],
    height: int,
    width: int,
    replicate: bool,
    table: npt.NDArray[np.float32] | npt.NDArray[np.uint16] | None,
    channels: Sequence[int],
    planar: bool,
    threads: int,
    simd: str | None,
) -> npt.NDArray[Any]: ...
def normalise_faces(
    *,
    pixels: npt.NDArray[np.uint8],
    table: npt.NDArray[np.float32],
    channels: Sequence[int],
    planar: bool,
    out: npt.NDArray[np.float32],
    threads: int,
) -> None: ...
def warp_faces_cuda(
    *,
    pictures: int,
    matrices: int,
    out: int,
    faces: int,
    picture_height: int,
    picture_width: int,
    height: int,
    width: int,
    one_picture: bool,
    replicate: bool,
    table: npt.NDArray[np.float32] | npt.NDArray[np.uint16] | None,
    channels: Sequence[int],
    planar: bool,
    device: int,
    stream: int,
) -> None: ...
def dssim_planes(
    *, perturbation: npt.NDArray[np.float32], source: DssimSource[npt.NDArray[np.float32]], threads: int,
    simd: str | None,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float32]]: ...  # fmt: skip
def fawkes_step(
    *,
    planes: FawkesPlanes[npt.NDArray[np.float32]],
    source: DssimSource[npt.NDArray[np.float32]],
    move: FawkesMove[npt.NDArray[np.float32]] | None,
    bound: float,
    epsilon: float,
    threads: int,
    simd: str | None,
) -> npt.NDArray[np.float64]: ...
def lowkey_step(
    *,
    planes: LowKeyPlanes[npt.NDArray[np.float32]],
    move: LowKeyMove[npt.NDArray[np.float32]] | None,
    threads: int,
    simd: str | None,
) -> None: ...
def dssim_tiles(height: int, width: int) -> int: ...

_Locate = Callable[[Tensor, Sequence[int], str], int]  # tensor, shape, dtype: its address

def dssim_planes_cuda(
    *,
    perturbation: Tensor,
    source: DssimSource[Tensor],
    sums: DssimSums,
    gradient: Tensor,
    locate: _Locate,
    device: int,
    stream: int,
) -> None: ...
def fawkes_step_cuda(
    *,
    planes: FawkesPlanes[Tensor],
    source: DssimSource[Tensor],
    move: FawkesMove[Tensor] | None,
    bound: float,
    epsilon: float,
    sums: DssimSums,
    locate: _Locate,
    device: int,
    stream: int,
) -> None: ...
def lowkey_step_cuda(
    *,
    planes: LowKeyPlanes[Tensor],
    move: LowKeyMove[Tensor] | None,
    locate: _Locate,
    device: int,
    stream: int,
) -> None: ...
def dlpack_view(
    capsule: object,
) -> tuple[int, list[int], list[int] | None, int, int, int, int]: ...
def quantize(
    *,
    vectors: npt.NDArray[np.float32],
    index: npt.NDArray[np.int64] | None,
    limit: int,
    threads: int,
    simd: str | None,
) -> tuple[
    npt.NDArray[np.int8],
    npt.NDArray[np.int32],
    npt.NDArray[np.float64],
    npt.NDArray[np.float64],
    npt.NDArray[np.float64],
]: ...
def largest_magnitude(*, values: npt.NDArray[np.float32], threads: int) -> float: ...
def scan_bodies() -> list[tuple[str, int]]: ...

_Coded = tuple[
    npt.NDArray[np.float32],
    npt.NDArray[np.int64] | None,
    npt.NDArray[np.int8],
    npt.NDArray[np.int32],
    npt.NDArray[np.float32],
]

def near_rows(
    *,
    probes: _Coded,
    rows: _Coded,
    half: npt.NDArray[np.float32],
    lost: npt.NDArray[np.float32],
    coarse: npt.NDArray[np.float32],
    fine: npt.NDArray[np.float32],
    labels: npt.NDArray[np.int64] | None,
    own: npt.NDArray[np.int64] | None,
    best: npt.NDArray[np.float32],
    best_label: npt.NDArray[np.int64],
    most: int,
    threads: int,
    simd: str | None,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float32]] | None: ...
def segment_nearest(
    *,
    probes: npt.NDArray[np.float32],
    rows: npt.NDArray[np.float32],
    members: npt.NDArray[np.int64],
    starts: npt.NDArray[np.int64],
    probe: npt.NDArray[np.int64],
    segment: npt.NDArray[np.int64],
    threads: int,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]: ...
def build_info() -> dict[str, Any]: ...
def cuda_devices() -> tuple[int, str]: ...
def cuda_refusal(device: int) -> str: ...
def cuda_device_of(address: int) -> int: ...
def cuda_order(*, device: int, before: int, after: int) -> None: ...

"""The compiled extension: checked entry points without defaults; call them through facecure.kernels."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

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
    *,
    perturbation: npt.NDArray[np.float32],
    centred: npt.NDArray[np.float32],
    centred_mean: npt.NDArray[np.float32],
    contrast: npt.NDArray[np.float32],
    weights: npt.NDArray[np.float32],
    centre: float,
    luminance: float,
    threads: int,
    simd: str | None,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float32]]: ...
def fawkes_step(
    *,
    modifier: npt.NDArray[np.float32],
    squares: npt.NDArray[np.float32],
    steps: npt.NDArray[np.float32],
    by_dssim: npt.NDArray[np.float32],
    pictures: npt.NDArray[np.float32],
    best: npt.NDArray[np.float32],
    shown: npt.NDArray[np.float32] | None,
    shown_mean: Sequence[float],
    shown_std: Sequence[float],
    slots: Sequence[int],
    centred: npt.NDArray[np.float32],
    centred_mean: npt.NDArray[np.float32],
    contrast: npt.NDArray[np.float32],
    weights: npt.NDArray[np.float32],
    centre: float,
    luminance: float,
    by_feature: npt.NDArray[np.float32] | None,
    dssim_weight: npt.NDArray[np.float32],
    feature_weight: npt.NDArray[np.float32],
    better: npt.NDArray[np.bool_],
    rate: float,
    rho: float,
    epsilon: float,
    kick: float,
    forget: bool,
    frozen: bool,
    bound: float,
    threads: int,
    simd: str | None,
) -> npt.NDArray[np.float64]: ...
def lowkey_step(
    *,
    pictures: npt.NDArray[np.float32],
    views: npt.NDArray[np.float32],
    by_view: npt.NDArray[np.float32] | None,
    by_visible: npt.NDArray[np.float32] | None,
    weights: npt.NDArray[np.float32],
    mean: Sequence[float],
    std: Sequence[float],
    channels: Sequence[int],
    visible_weight: float,
    step: float,
    mirrored: bool,
    threads: int,
    simd: str | None,
) -> None: ...
def dssim_scratch(height: int, width: int) -> int: ...
def dssim_planes_cuda(**arguments: float) -> None: ...
def fawkes_step_cuda(**arguments: float | Sequence[float]) -> None: ...
def lowkey_step_cuda(**arguments: float | Sequence[float]) -> None: ...
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

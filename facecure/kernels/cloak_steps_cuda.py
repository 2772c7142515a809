"""The cloaks' steps on a CUDA device: torch tensors changed in place, on torch's current stream of their device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from facecure import _core
from facecure.errors import InputError
from facecure.kernels.device import require_device
from facecure.kernels.dssim import DssimSource
from facecure.kernels.fawkes import FawkesMove, FawkesPlanes, denominator
from facecure.kernels.lowkey import LowKeyMove, LowKeyPlanes

if TYPE_CHECKING:
    from torch import Tensor


class DssimSums:
    """What a step needs beside its planes: `parts` and `value`, partial sums and D of each plane, on their device."""

    def __init__(self, planes: Tensor) -> None:
        import torch

        require_device(planes.device.index)
        count, height, width = planes.shape
        self.parts = planes.new_empty((count, _core.dssim_tiles(height, width)), dtype=torch.float64)
        self.value = planes.new_empty((count,), dtype=torch.float64)


def dssim_planes_cuda(perturbation: Tensor, source: DssimSource[Tensor], sums: DssimSums) -> tuple[Tensor, Tensor]:
    """Return what `dssim_planes` returns, float64 (P,) and float32 (P, H, W), on the device of its tensors."""
    gradient = perturbation.new_empty(perturbation.shape)
    _core.dssim_planes_cuda(
        perturbation=perturbation, source=source, sums=sums, gradient=gradient, **_place(perturbation)
    )
    windows = denominator(perturbation.shape) // 3
    return sums.value / windows, gradient / windows


def fawkes_step_cuda(
    planes: FawkesPlanes[Tensor],
    source: DssimSource[Tensor],
    move: FawkesMove[Tensor] | None,
    bound: float,
    epsilon: float,
    sums: DssimSums,
) -> Tensor:
    """Return D float64 (N,) of the next pictures, after moving on, as `fawkes_step` does; nothing is copied.

    All tensors are contiguous float32 on one CUDA device, `better` bool. Raises `NoDevice` without a device, and
    `InputError` where a tensor does not fit.
    """
    _core.fawkes_step_cuda(
        planes=planes, source=source, move=move, bound=bound, epsilon=epsilon, sums=sums, **_place(planes.modifier)
    )
    of_pictures: Tensor = sums.value.reshape(-1, 3).sum(dim=1) / denominator(source.centred.shape)
    return of_pictures


def lowkey_step_cuda(planes: LowKeyPlanes[Tensor], move: LowKeyMove[Tensor] | None) -> None:
    """Do what `lowkey_step` does, with contiguous float32 tensors on one CUDA device."""
    require_device()
    _core.lowkey_step_cuda(planes=planes, move=move, **_place(planes.pictures))


def _place(first: Tensor) -> dict[str, Any]:
    """Return where the tensors of a step are: the first's device, torch's current stream there, and what locates them.

    That raises `InputError` where a tensor is not of the shape and dtype that the extension needs, or lies elsewhere.
    """
    import torch

    def locate(tensor: Tensor, shape: Sequence[int], dtype: str) -> int:
        fits = tensor.is_cuda and tensor.is_contiguous() and tuple(tensor.shape) == tuple(shape)
        if not fits or str(tensor.dtype) != f"torch.{dtype}" or tensor.device != first.device:
            raise InputError(
                f"a contiguous CUDA tensor of {dtype} {tuple(shape)} on {first.device} is needed, not {tensor.dtype} "
                f"{tuple(tensor.shape)} on {tensor.device}"
            )
        return tensor.data_ptr()

    stream = torch.cuda.current_stream(first.device).cuda_stream
    return {"locate": locate, "device": first.device.index, "stream": stream}

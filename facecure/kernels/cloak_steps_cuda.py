"""The cloaks' steps on a CUDA device: torch tensors changed in place, on torch's current stream."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from facecure import _core
from facecure.errors import InputError
from facecure.kernels.device import require_device
from facecure.kernels.dssim import C1, CENTRE, DssimSource
from facecure.kernels.fawkes import RHO, FawkesMove, FawkesPlanes, denominator
from facecure.kernels.lowkey import Views

if TYPE_CHECKING:
    from torch import Tensor


class Scratch:
    """What a step needs beside its planes: partial sums and D of each plane, float64 on the planes' device."""

    def __init__(self, planes: Tensor) -> None:
        import torch

        require_device()
        count, height, width = planes.shape
        self.parts = planes.new_empty((count, _core.dssim_scratch(height, width)), dtype=torch.float64)
        self.value = planes.new_empty((count,), dtype=torch.float64)


def dssim_planes_cuda(perturbation: Tensor, source: DssimSource[Tensor], scratch: Scratch) -> tuple[Tensor, Tensor]:
    """Return what `dssim_planes` returns, float64 (P,) and float32 (P, H, W), on the device of its tensors."""
    shape = tuple(perturbation.shape)
    gradient = perturbation.new_empty(shape)
    _core.dssim_planes_cuda(
        perturbation=_address(perturbation, shape), **_source(source, shape), scratch=scratch.parts.data_ptr(),
        value=scratch.value.data_ptr(), gradient=gradient.data_ptr(), stream=_stream(perturbation),
    )  # fmt: skip
    windows = denominator(shape) // 3
    return scratch.value / windows, gradient / windows


def fawkes_step_cuda(
    planes: FawkesPlanes[Tensor],
    source: DssimSource[Tensor],
    move: FawkesMove[Tensor] | None,
    bound: float,
    epsilon: float,
    scratch: Scratch,
) -> Tensor:
    """Return D float64 (N,) of the next pictures, after moving on, as `fawkes_step` does; nothing is copied.

    All tensors are contiguous float32 on one CUDA device, `better` bool. Raises `NoDevice` without a device, and
    `InputError` where a tensor does not fit.
    """
    shape = tuple(planes.modifier.shape)
    count = shape[0] // 3
    below = denominator(shape)
    mean, std, slots = planes.view.by_channel()
    weights = None if move is None else move.dssim_weight / below  # alive until the launch
    _core.fawkes_step_cuda(
        modifier=_address(planes.modifier, shape), squares=_address(planes.squares, shape),
        steps=_address(planes.steps, shape), by_dssim=_address(planes.by_dssim, shape),
        pictures=_address(planes.pictures, shape), best=_address(planes.best, shape),
        shown=0 if planes.shown is None else _address(planes.shown, shape), shown_mean=mean, shown_std=std, slots=slots,
        **_source(source, shape),
        by_feature=_address(move.by_feature, shape) if move else 0,
        dssim_weight=_address(weights, (count,)) if weights is not None else 0,
        feature_weight=_address(move.feature_weight, (count,)) if move else 0,
        better=_address(move.better, (count,), "torch.bool") if move else 0,
        rate=move.rate if move else 0.0, rho=RHO, epsilon=epsilon,
        kick=move.kick if move else 0.0, forget=bool(move and move.forget), frozen=bool(move and move.frozen),
        bound=bound, scratch=scratch.parts.data_ptr(), value=scratch.value.data_ptr(), stream=_stream(planes.modifier),
    )  # fmt: skip
    of_pictures: Tensor = scratch.value.reshape(count, 3).sum(dim=1) / below
    return of_pictures


def lowkey_step_cuda(
    pictures: Tensor,
    views: Tensor,
    by_view: Tensor | None,
    by_visible: Tensor | None,
    kind: Views,
    window: Tensor,
    *,
    visible_weight: float,
    step: float,
) -> None:
    """Return nothing; do what `lowkey_step` does with contiguous float32 tensors on one CUDA device."""
    require_device()
    shape, seen = tuple(pictures.shape), (kind.count, *pictures.shape)
    _core.lowkey_step_cuda(
        pictures=_address(pictures, shape), views=_address(views, seen),
        by_view=0 if by_view is None else _address(by_view, seen),
        by_visible=0 if by_visible is None else _address(by_visible, shape), weights=_address(window, (7,)),
        mean=list(kind.mean), std=list(kind.std), channels=list(kind.channels), visible_weight=visible_weight,
        step=step, mirrored=kind.mirrored, count=shape[0], height=shape[2], width=shape[3], stream=_stream(pictures),
    )  # fmt: skip


def _source(source: DssimSource[Tensor], shape: tuple[int, ...]) -> dict[str, float]:
    planes, height, width = shape
    windows = (planes, height - 10, width - 10)
    return {
        "centred": _address(source.centred, shape), "centred_mean": _address(source.centred_mean, windows),
        "contrast": _address(source.contrast, windows), "weights": _address(source.weights, (11,)),
        "centre": CENTRE, "luminance": C1, "planes": planes, "height": height, "width": width,
    }  # fmt: skip


def _address(tensor: Tensor, shape: Sequence[int], dtype: str = "torch.float32") -> int:
    """Return where a tensor lies; raises `InputError` where it is not of this kind."""
    fits = tensor.is_cuda and tensor.is_contiguous() and str(tensor.dtype) == dtype and tuple(tensor.shape) == shape
    if not fits:
        raise InputError(
            f"a contiguous CUDA tensor of {dtype} {tuple(shape)} is needed, not {tensor.dtype} {tuple(tensor.shape)} "
            f"on {tensor.device}"
        )
    return tensor.data_ptr()


def _stream(tensor: Tensor) -> int:
    import torch

    return torch.cuda.current_stream(tensor.device).cuda_stream

"""The cloaks' steps on a CUDA device: torch tensors changed in place, on torch's current stream of their device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from facecure import _core
from facecure.errors import InputError
from facecure.kernels.device import require_device
from facecure.kernels.dssim import C1, CENTRE, DssimSource
from facecure.kernels.fawkes import RHO, FawkesMove, FawkesPlanes, denominator
from facecure.kernels.lowkey import Views

if TYPE_CHECKING:
    from torch import Tensor

    Addresses = Callable[..., int]  # tensor, shape, dtype


class Scratch:
    """What a step needs beside its planes: partial sums and D of each plane, float64 on the planes' device."""

    def __init__(self, planes: Tensor) -> None:
        import torch

        require_device(planes.device.index)
        count, height, width = planes.shape
        self.parts = planes.new_empty((count, _core.dssim_scratch(height, width)), dtype=torch.float64)
        self.value = planes.new_empty((count,), dtype=torch.float64)

    def arguments(self, at: Addresses) -> dict[str, int]:
        """Return where both lie."""
        found = {"scratch": self.parts, "value": self.value}
        return {name: at(tensor, tuple(tensor.shape), "torch.float64") for name, tensor in found.items()}


def dssim_planes_cuda(perturbation: Tensor, source: DssimSource[Tensor], scratch: Scratch) -> tuple[Tensor, Tensor]:
    """Return what `dssim_planes` returns, float64 (P,) and float32 (P, H, W), on the device of its tensors."""
    shape, at = tuple(perturbation.shape), _addresses(perturbation)
    gradient = perturbation.new_empty(shape)
    _core.dssim_planes_cuda(
        perturbation=at(perturbation, shape), **_source(source, shape, at), **scratch.arguments(at),
        gradient=at(gradient, shape), **_place(perturbation),
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
    shape, at = tuple(planes.modifier.shape), _addresses(planes.modifier)
    count = shape[0] // 3
    below = denominator(shape)
    mean, std, slots = planes.view.by_channel()
    weights = None if move is None else move.dssim_weight / below  # alive until the launch
    _core.fawkes_step_cuda(
        modifier=at(planes.modifier, shape), squares=at(planes.squares, shape),
        steps=at(planes.steps, shape), by_dssim=at(planes.by_dssim, shape),
        pictures=at(planes.pictures, shape), best=at(planes.best, shape),
        shown=0 if planes.shown is None else at(planes.shown, shape), shown_mean=mean, shown_std=std, slots=slots,
        **_source(source, shape, at),
        by_feature=at(move.by_feature, shape) if move else 0,
        dssim_weight=at(weights, (count,)) if weights is not None else 0,
        feature_weight=at(move.feature_weight, (count,)) if move else 0,
        better=at(move.better, (count,), "torch.bool") if move else 0,
        rate=move.rate if move else 0.0, rho=RHO, epsilon=epsilon,
        kick=move.kick if move else 0.0, forget=bool(move and move.forget), frozen=bool(move and move.frozen),
        bound=bound, **scratch.arguments(at), **_place(planes.modifier),
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
    shape, seen, at = tuple(pictures.shape), (kind.count, *pictures.shape), _addresses(pictures)
    _core.lowkey_step_cuda(
        pictures=at(pictures, shape), views=at(views, seen),
        by_view=0 if by_view is None else at(by_view, seen),
        by_visible=0 if by_visible is None else at(by_visible, shape), weights=at(window, (7,)),
        mean=list(kind.mean), std=list(kind.std), channels=list(kind.channels), visible_weight=visible_weight,
        step=step, mirrored=kind.mirrored, count=shape[0], height=shape[2], width=shape[3], **_place(pictures),
    )  # fmt: skip


def _source(source: DssimSource[Tensor], shape: tuple[int, ...], at: Addresses) -> dict[str, float]:
    planes, height, width = shape
    windows = (planes, height - 10, width - 10)
    return {
        "centred": at(source.centred, shape), "centred_mean": at(source.centred_mean, windows),
        "contrast": at(source.contrast, windows), "weights": at(source.weights, (11,)),
        "centre": CENTRE, "luminance": C1, "planes": planes, "height": height, "width": width,
    }  # fmt: skip


def _addresses(first: Tensor) -> Addresses:
    """Return what tells where a tensor lies, on the device of the first.

    That raises `InputError` where a tensor is not of this shape and kind, or lies elsewhere.
    """

    def at(tensor: Tensor, shape: Sequence[int], dtype: str = "torch.float32") -> int:
        fits = tensor.is_cuda and tensor.is_contiguous() and str(tensor.dtype) == dtype and tuple(tensor.shape) == shape
        if not fits or tensor.device != first.device:
            raise InputError(
                f"a contiguous CUDA tensor of {dtype} {tuple(shape)} on {first.device} is needed, not {tensor.dtype} "
                f"{tuple(tensor.shape)} on {tensor.device}"
            )
        return tensor.data_ptr()

    return at


def _place(tensor: Tensor) -> dict[str, int]:
    """Return the number of a tensor's device and torch's current stream there."""
    import torch

    return {"device": tensor.device.index, "stream": torch.cuda.current_stream(tensor.device).cuda_stream}

"""Separable Gaussian filters as sums of shifted pictures: the same bits for any batch, size and thread count."""

from __future__ import annotations

import numpy as np
from torch import Tensor
from torch.nn import functional

from facecure.types import F64


def weights(width: int, sigma: float) -> F64:
    """Return float64 (width,): exp(−x²/2σ²) at whole offsets from the middle, scaled to sum 1."""
    offsets = np.arange(width) - (width - 1) / 2
    values = np.exp(-(offsets**2) / (2 * sigma**2))
    scaled: F64 = values / values.sum()
    return scaled


def valid(pictures: Tensor, window: F64) -> Tensor:
    """Return the weighted means (…, H − w + 1, W − w + 1) over all windows that lie within pictures (…, H, W).

    `window` is symmetric. Rows come first, and sums go from the middle outwards, as in the native filters.
    """
    return along(along(pictures, window, -1), window, -2)


def along(pictures: Tensor, window: F64, dim: int) -> Tensor:
    """Return weighted means over windows along one dimension, −1 or −2; sums go from the middle outwards."""
    length, half = pictures.shape[dim] - len(window) + 1, len(window) // 2
    total = pictures.narrow(dim, half, length) * float(window[half])
    for k in range(half):
        pair = pictures.narrow(dim, k, length) + pictures.narrow(dim, len(window) - 1 - k, length)
        total += pair.mul_(float(window[k]))
    return total


def valid_transposed(means: Tensor, window: F64) -> Tensor:
    """Return the transpose of `valid` applied to (…, h, w): each value spread over its window, (…, h + w − 1, …)."""
    return _spread(_spread(means, window, -1), window, -2)


def _spread(means: Tensor, window: F64, dim: int) -> Tensor:
    border = len(window) - 1
    return along(functional.pad(means, (border, border) if dim == -1 else (0, 0, border, border)), window, dim)


LOWKEY = weights(7, 3.0)  # docs/protocol.md §6


def smooth(pictures: Tensor, window: F64 = LOWKEY) -> Tensor:
    """Return pictures (N, C, H, W) filtered with reflected borders, H and W larger than half the window."""
    border = len(window) // 2
    return valid(functional.pad(pictures, (border,) * 4, mode="reflect"), window)


def smooth_transposed(gradient: Tensor, window: F64 = LOWKEY) -> Tensor:
    """Return the gradient with respect to `smooth`'s input, given that to its output, both (N, C, H, W)."""
    border = len(window) // 2
    for dim in (-1, -2):
        padded, length = _spread(gradient, window, dim), gradient.shape[dim]
        gradient = padded.narrow(dim, border, length).clone()
        gradient.narrow(dim, 1, border).add_(padded.narrow(dim, 0, border).flip(dim))
        gradient.narrow(dim, length - 1 - border, border).add_(padded.narrow(dim, border + length, border).flip(dim))
    return gradient


def smooth_numpy(pictures: F64, window: F64 = LOWKEY) -> F64:
    """Return what `smooth` returns, in float64 by the definition: a two-dimensional window at every pixel."""
    border = len(window) // 2
    padded = np.pad(pictures, ((0, 0), (0, 0), (border, border), (border, border)), mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (len(window),) * 2, axis=(2, 3))
    means: F64 = np.einsum("nchwij,i,j->nchw", windows, window, window)
    return means


def transposed_numpy(gradient: F64, window: F64 = LOWKEY) -> F64:
    """Return what `smooth_transposed` returns: every value of the output carried back to the pixels it was made of."""
    border, (height, width) = len(window) // 2, gradient.shape[2:]
    source: F64 = np.zeros_like(gradient)
    rows, columns = (np.pad(np.arange(side), border, mode="reflect") for side in (height, width))
    for y, x in np.ndindex(height, width):
        for k, above in enumerate(window):
            for m, left in enumerate(window):
                source[:, :, rows[y + k], columns[x + m]] += above * left * gradient[:, :, y, x]
    return source

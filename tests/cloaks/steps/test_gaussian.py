"""Filters equal their two-dimensional definitions at any size, and their transposes are transposes."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from facecure.cloaks.steps import gaussian  # noqa: E402

SIZES = [(4, 4), (5, 9), (17, 12), (1, 23)]


@pytest.mark.parametrize(("width", "sigma"), [(1, 1.0), (7, 3.0), (11, 1.5), (4, 2.0)])
def test_weights_are_the_normal_density_at_whole_offsets(width, sigma):
    found = gaussian.weights(width, sigma)
    assert found.sum() == pytest.approx(1)
    np.testing.assert_allclose(found, found[::-1])
    middle = (width - 1) / 2
    np.testing.assert_allclose(
        found / found[0], [np.exp((middle**2 - (k - middle) ** 2) / (2 * sigma**2)) for k in range(width)]
    )


@pytest.mark.parametrize("count", [0, 1, 7])
@pytest.mark.parametrize("size", [(4, 4), (5, 9), (17, 12)], ids=str)
def test_smoothing_equals_its_definition(size, count):
    pictures = np.random.default_rng(0).uniform(0, 255, (count, 3, *size))
    found = gaussian.smooth(torch.from_numpy(pictures))
    np.testing.assert_allclose(found, gaussian.smooth_numpy(pictures), rtol=1e-12)


@pytest.mark.parametrize("count", [0, 1, 3])
@pytest.mark.parametrize("size", [(4, 4), (5, 9), (17, 12)], ids=str)
def test_the_transpose_carries_gradients_back(size, count):
    rng = np.random.default_rng(1)
    pictures, gradient = rng.normal(size=(2, count, 2, *size))
    found = gaussian.smooth_transposed(torch.from_numpy(gradient))
    np.testing.assert_allclose(found, gaussian.transposed_numpy(gradient), atol=1e-12)
    forward = gaussian.smooth(torch.from_numpy(pictures)).numpy()
    assert (forward * gradient).sum() == pytest.approx((pictures * found.numpy()).sum())  # <Gx, g> = <x, Gᵀg>


def test_strided_pictures_and_extreme_values():
    pictures = torch.zeros(2, 3, 20, 30)
    pictures[:, :, ::3] = 255
    turned = pictures.transpose(2, 3)
    np.testing.assert_array_equal(gaussian.smooth(turned), gaussian.smooth(turned.contiguous()))
    flat = torch.full((1, 3, 9, 9), 255.0)
    np.testing.assert_allclose(gaussian.smooth(flat), flat, rtol=1e-6)


def test_bits_depend_on_neither_batch_nor_threads():
    pictures = torch.rand(7, 3, 40, 40)
    whole = gaussian.smooth(pictures)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = torch.cat([gaussian.smooth(p[None]) for p in pictures])
    finally:
        torch.set_num_threads(before)
    assert torch.equal(whole, alone)

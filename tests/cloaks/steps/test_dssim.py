"""DSSIM and its gradient equal the float64 definition, also where cloaks are faint, and scikit-image's SSIM."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from facecure.cloaks.steps.dssim import Dssim, dssim_numpy  # noqa: E402
from facecure.errors import InputError  # noqa: E402


def pictures(kind: str, count: int, size: tuple[int, int]) -> np.ndarray:
    rng = np.random.default_rng(3)
    shape = (count, 3, *size)
    return {
        "noise": rng.integers(0, 256, shape),
        "smooth": np.broadcast_to(np.linspace(0, 255, size[1]), shape),
        "flat": np.full(shape, 37),
        "white": np.full(shape, 255),
        "black": np.zeros(shape),
    }[kind].astype(np.float64)


@pytest.mark.parametrize("kind", ["noise", "smooth", "flat", "white", "black"])
@pytest.mark.parametrize("strength", [1e-3, 1.0, 15.0, 255.0])
@pytest.mark.parametrize("size", [(11, 11), (12, 31), (40, 23)], ids=str)
def test_value_and_gradient_equal_the_definition(kind, strength, size):
    source = pictures(kind, 2, size)
    delta = strength * np.random.default_rng(4).uniform(-1, 1, source.shape)
    delta = delta.astype(np.float32).astype(np.float64)
    expected, slope = dssim_numpy(source + delta, source)
    value, gradient = Dssim(torch.from_numpy(source).float())(torch.from_numpy(delta).float())
    np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-9)
    assert np.linalg.norm(gradient.numpy() - slope) <= 2e-4 * np.linalg.norm(slope)


@pytest.mark.parametrize("size", [(11, 12), (20, 20)], ids=str)
def test_torch_gives_what_native_code_gives(size):
    source = torch.from_numpy(pictures("noise", 3, size))
    delta = torch.from_numpy(np.random.default_rng(8).normal(0, 6, source.shape))
    for ours, other in zip(Dssim(source.float())(delta.float()), Dssim(source)(delta), strict=True):
        assert (ours - other).norm() <= 2e-5 * other.norm()


@pytest.mark.parametrize("size", [(11, 12), (20, 20)], ids=str)
def test_the_definitions_gradient_is_one(size):
    source = pictures("noise", 1, size)
    a = source + np.random.default_rng(5).normal(0, 9, source.shape)
    _, gradient = dssim_numpy(a, source)
    direction = np.random.default_rng(6).normal(size=a.shape)
    step = 1e-4
    rise = (dssim_numpy(a + step * direction, source)[0] - dssim_numpy(a - step * direction, source)[0]) / (2 * step)
    assert rise[0] == pytest.approx((gradient * direction).sum(), rel=1e-6)


def test_no_change_is_no_dissimilarity():
    source = torch.from_numpy(pictures("noise", 3, (30, 30))).float()
    value, gradient = Dssim(source)(torch.zeros_like(source))
    assert torch.equal(value, torch.zeros(3))
    assert torch.equal(gradient, torch.zeros_like(source))


def test_the_corner_weighs_next_to_nothing():
    """docs/protocol.md §2: the outer five pixels are hardly seen (Q8)."""
    source = pictures("noise", 1, (40, 40))
    a = source + np.random.default_rng(7).normal(0, 5, source.shape)
    _, gradient = Dssim(torch.from_numpy(source).float())(torch.from_numpy(a - source).float())
    size = gradient.abs().mean(dim=(0, 1))
    assert float(size[0, 0]) < 1e-5 * float(size[10:30, 10:30].mean())


@pytest.mark.parametrize("count", [0, 1, 7])
def test_each_picture_stands_alone(count):
    source = torch.from_numpy(pictures("noise", 7, (20, 25))).float()
    delta = torch.rand_like(source) - 0.5
    value, gradient = Dssim(source)(delta)
    some, slope = Dssim(source[:count])(delta[:count])
    assert torch.equal(some, value[:count])
    assert torch.equal(slope, gradient[:count])


def test_too_small_pictures_are_refused():
    with pytest.raises(InputError, match="11×11"):
        Dssim(torch.zeros(1, 3, 10, 40))

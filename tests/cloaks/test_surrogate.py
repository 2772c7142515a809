"""A surrogate sees what its extractor would, returns true gradients, and no picture depends on its neighbours."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from facecure.cloaks.surrogate import common_view, lengths, unit  # noqa: E402
from facecure.errors import InputError  # noqa: E402
from facecure.kernels import Normalise, warp_faces  # noqa: E402

from .conftest import made_surrogate  # noqa: E402


class Flat(nn.Module):
    """Returns its input as embedding: what reaches the network."""

    def forward(self, x):
        return x.flatten(1)


def squares(embeddings, references):
    return (embeddings - references).square().sum(1)


@pytest.mark.parametrize("colour", ["RGB", "BGR"])
@pytest.mark.parametrize("white", [1.0, 255.0])
def test_whole_faces_are_normalised_as_the_extractor_does(colour, white):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 12, 10, 3), np.uint8)
    mean, std = [123.7, 116.3, 103.5], [58.4, 57.1, 57.4]
    surrogate = made_surrogate(Flat(), size=(10, 12), mean=mean, std=std, colour=colour)
    planes = torch.from_numpy(pixels.transpose(0, 3, 1, 2).astype(np.float32)) * (white / 255)
    found = surrogate.embed(planes, white=white).reshape(5, 3, 12, 10)
    np.testing.assert_allclose(found, Normalise(mean, std, colour)(pixels), rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("border", ["black", "replicate"])
def test_aligned_faces_are_those_of_warp_faces(border):
    pixels = np.random.default_rng(1).integers(0, 256, (60, 80, 3), np.uint8)
    matrices = np.array(
        [[[1.4, -0.3, 9.0], [0.3, 1.4, -4.0]], [[1, 0, 0], [0, 1, 0]], [[0.7, 0.2, 30], [-0.2, 0.7, 31]]]
    )
    surrogate = made_surrogate(Flat(), size=(32, 28), mean=[0] * 3, std=[1] * 3, border=border)
    planes = torch.from_numpy(np.repeat(pixels.transpose(2, 0, 1)[None], 3, 0).astype(np.float32))
    found = surrogate.embed(planes, surrogate.grid(matrices, (80, 60))).reshape(3, 3, 28, 32)
    warped = warp_faces(pixels, matrices, (32, 28), border=border).transpose(0, 3, 1, 2)
    assert np.abs(found.numpy() - warped).max() <= 0.51  # warp_faces rounds


def test_a_face_of_another_size_is_resized():
    surrogate = made_surrogate(Flat(), size=(6, 4), mean=[0] * 3, std=[1] * 3)
    found = surrogate.embed(torch.full((2, 3, 12, 12), 9.0))
    np.testing.assert_allclose(found, np.full((2, 72), 9.0), rtol=1e-6)


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("aligned", [False, True])
def test_gradients_are_those_of_finite_differences(tiny, aligned, mirror):
    surrogate = tiny(bend="prelu", size=(24, 20), rows=2)
    surrogate.network.double()
    random = torch.Generator().manual_seed(0)
    pictures = 255 * torch.rand(3, 3, 30, 30, dtype=torch.float64, generator=random)
    grid = None
    if aligned:
        matrices = np.repeat(np.array([[[0.8, 0.1, 3.0], [-0.1, 0.8, 5.0]]]), 3, 0)
        grid = surrogate.grid(matrices, (30, 30)).double()
    references = surrogate.embed(pictures + 20 * torch.rand(pictures.shape, generator=random), grid, mirror=mirror)
    loss, gradient = surrogate.loss_and_grad(pictures, references, squares, grid, mirror=mirror)
    direction = torch.randn(pictures.shape, dtype=torch.float64, generator=random)
    step = 1e-4  # so small that no PReLU bends between
    ends = [surrogate.embed(pictures + sign * step * direction, grid, mirror=mirror) for sign in (1, -1)]
    rise = (squares(ends[0], references) - squares(ends[1], references)) / (2 * step)
    np.testing.assert_allclose((gradient * direction).sum((1, 2, 3)), rise, rtol=2e-3, atol=1e-6)
    np.testing.assert_allclose(loss, squares(surrogate.embed(pictures, grid, mirror=mirror), references), rtol=1e-5)


@pytest.mark.parametrize("count", [1, 2, 5, 9])
def test_a_picture_does_not_depend_on_its_neighbours(tiny, count):
    surrogate = tiny(rows=4)
    pictures, references = 255 * torch.rand(9, 3, 112, 112), torch.randn(9, 64)
    everything = surrogate.loss_and_grad(pictures, references, squares)
    some = surrogate.loss_and_grad(pictures[-count:], references[-count:], squares)
    for whole, part in zip(everything, some, strict=True):
        assert torch.equal(whole[-count:], part)


def test_bfloat16_and_channels_last_stay_near(tiny):
    pictures = 255 * torch.rand(3, 3, 112, 112)
    exact = tiny().embed(pictures)
    np.testing.assert_allclose(tiny(channels_last=True).embed(pictures), exact, rtol=1e-4, atol=1e-5)
    coarse = tiny(precision="bf16").embed(pictures)
    assert not torch.equal(coarse, exact)
    assert float((unit(coarse) * unit(exact)).sum(1).min()) > 0.999
    with pytest.raises(InputError, match="fp32 or bf16"):
        tiny(precision="int8")


def test_unit_rows():
    rows = torch.tensor([[3.0, 4.0], [0.0, -2.0]])
    np.testing.assert_allclose(lengths(rows), [5, 2])
    np.testing.assert_allclose(unit(rows), [[0.6, 0.8], [0, -1]], rtol=1e-6)


@pytest.mark.parametrize("colour", ["RGB", "BGR"])
def test_views_are_pictures_and_their_mirror_images(tiny, colour):
    surrogate = tiny(0, "prelu", colour=colour, mean=[120.0, 110.0, 100.0], std=[50.0, 60.0, 70.0])
    pictures = torch.from_numpy(np.random.default_rng(5).uniform(0, 1, (5, 3, 112, 112)).astype(np.float32))
    kind = surrogate.view((112, 112), white=1)
    shown = (pictures[:, list(kind.channels)] - torch.tensor(kind.mean).reshape(3, 1, 1)) / torch.tensor(
        kind.std
    ).reshape(3, 1, 1)
    twice = torch.stack([shown, shown.flip(3), 0.5 * shown, 0.5 * shown.flip(3)])
    references = surrogate.embed(pictures.flip(0), mirror=True, white=1)
    losses, gradients = surrogate.loss_and_grad_of_views(twice, references, squares, mirrored=True)
    expected, slope = surrogate.loss_and_grad(pictures, references, squares, mirror=True, white=1)
    assert losses.shape == (2, 5)
    np.testing.assert_allclose(losses[0], expected, rtol=1e-5)
    back = (gradients[0] + gradients[1].flip(3)) / torch.tensor(kind.std).reshape(3, 1, 1)
    np.testing.assert_allclose(back[:, np.argsort(kind.channels).tolist()], slope, rtol=1e-3, atol=1e-6)
    assert gradients[2:].any()
    assert surrogate.view((100, 112)) is None
    grid = torch.zeros(5, 112, 112, 2)
    assert common_view([surrogate], [None], pictures, white=1) == kind
    for others, grids in (([], [grid]), ([tiny(1)], [None, None]), ([tiny(1, size=(50, 50))], [None, None])):
        assert common_view([surrogate, *others], grids, pictures) is None

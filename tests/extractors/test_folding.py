"""Folded networks compute what the unfolded ones do, with fewer layers."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from facecure.extractors.networks import build_network  # noqa: E402
from facecure.extractors.networks.folding import fold_batch_norms  # noqa: E402

# size of a face, and batch norms that no convolution precedes
CASES = {
    "mobilefacenet-prelu": ((112, 96), 0),
    "mobilefacenet-relu6": ((112, 112), 0),
    "tiny-plain": ((64, 64), 0),
    "tiny-mobile": ((64, 64), 0),
    "tiny-mixer": ((64, 64), 0),
    "iresnet18": ((112, 112), 9),  # before each of eight blocks, and before the head
    "resnet-50": ((112, 112), 1),
    "inception-resnet-v1": ((160, 160), 0),
    "dlib-resnet": ((150, 150), 0),
    "clip-vit-b32": ((224, 224), 0),
}


def shaken(network: nn.Module) -> nn.Module:
    """Return the network with batch statistics and scales that are no identity."""
    torch.manual_seed(3)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2)
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.normal_(0, 0.2)
    return network.eval()


def norms(network: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in network.modules())


@pytest.mark.parametrize("name", CASES)
def test_outputs_differ_by_rounding_alone(name):
    network = shaken(build_network(name))
    before = {key: value.clone() for key, value in network.state_dict().items()}
    folded = fold_batch_norms(network)
    size, left = CASES[name]
    faces = torch.randn(3, 3, *size)
    expected, found = network(faces), folded(faces)
    assert (found - expected).norm() <= 1e-5 * expected.norm()
    assert norms(folded) == left
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())  # untouched


def test_what_others_read_too_is_not_folded():
    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.convolution, self.norm = nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)

        def forward(self, x):
            y = self.convolution(x)
            return self.norm(y) + y

    network = shaken(Shared())
    folded = fold_batch_norms(network)
    x = torch.randn(2, 3, 5, 5)
    assert norms(folded) == 1
    torch.testing.assert_close(folded(x), network(x))


def test_a_norm_without_a_convolution_stays():
    network = shaken(nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 1), nn.ReLU(), nn.BatchNorm2d(4)))
    folded = fold_batch_norms(network)
    x = torch.randn(2, 3, 5, 5)
    assert norms(folded) == 2
    torch.testing.assert_close(folded(x), network(x))

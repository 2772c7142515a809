"""LPIPS by its embedding equals LPIPS by its formula, for every trunk; files are checked before they are used."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from facecure.cloaks.lpips import Lpips, LpipsNetwork, load_lpips, squared  # noqa: E402
from facecure.errors import InputError  # noqa: E402

CHANNELS = {
    "alex": (64, 192, 384, 256, 256),
    "squeeze": (64, 128, 256, 384, 384, 512, 512),
    "vgg": (64, 128, 256, 512, 512),
}
# where each layer's activations are taken: behind these modules of torchvision's `features`
TAPS = {"alex": (1, 4, 7, 9, 11), "squeeze": (1, 4, 7, 9, 10, 11, 12), "vgg": (3, 8, 15, 22, 29)}


def made(trunk: str) -> tuple[LpipsNetwork, list]:
    torch.manual_seed(5)
    network = LpipsNetwork(trunk)
    heads = [torch.rand(width) for width in CHANNELS[trunk]]
    return network.load(network.features.state_dict(), heads), heads


@pytest.mark.parametrize("trunk", CHANNELS)
def test_the_embedding_gives_the_formula(trunk):
    network, heads = made(trunk)
    network.double()
    x, y = torch.rand(2, 2, 3, 64, 48, dtype=torch.float64)
    shift = x.new_tensor([-0.030, -0.088, -0.188]).reshape(3, 1, 1)
    scale = x.new_tensor([0.458, 0.448, 0.450]).reshape(3, 1, 1)
    expected = x.new_zeros(2)
    with torch.no_grad():
        a, b = (((2 * v - 1) - shift) / scale for v in (x, y))
        for number, layer in enumerate(network.features):
            a, b = layer(a), layer(b)
            if number in TAPS[trunk]:
                difference = a / (a.norm(dim=1, keepdim=True) + 1e-10) - b / (b.norm(dim=1, keepdim=True) + 1e-10)
                head = heads[TAPS[trunk].index(number)][:, None, None]
                expected += (head * difference.square()).sum(1).mean((1, 2))
    lpips = Lpips(network, {})
    value, gradient = lpips.loss_and_grad(255 * y, lpips.embed(255 * x), squared)
    np.testing.assert_allclose(value, expected, rtol=1e-6)  # the heads are float32
    assert gradient.shape == y.shape
    assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("level", [0.0, 255.0])
def test_flat_pictures_have_a_finite_gradient(level):
    network, _ = made("squeeze")
    lpips = Lpips(network, {})
    flat = torch.full((1, 3, 40, 40), level)
    value, gradient = lpips.loss_and_grad(flat, lpips.embed(flat), squared)
    assert float(value) == 0
    assert torch.isfinite(gradient).all()


def saved(tmp_path, trunk="squeeze", **change):
    network, heads = made(trunk)
    body = {f"features.{k}": v for k, v in network.features.state_dict().items()} | {"classifier.1.bias": torch.ones(3)}
    lin = {f"lin{i}.model.1.weight": head[None, :, None, None] for i, head in enumerate(heads)}
    files = tmp_path / "body.pth", tmp_path / "lin.pth"
    torch.save(change.get("body", body), files[0])
    torch.save(change.get("lin", lin), files[1])
    return files


def test_files_are_loaded_and_named_uncalibrated(tmp_path):
    lpips = load_lpips("squeeze", *saved(tmp_path))
    network, _ = made("squeeze")
    pictures = 255 * torch.rand(2, 3, 40, 40)
    assert torch.equal(lpips.embed(pictures), Lpips(network, {}).embed(pictures))
    assert lpips.what["calibrated"] is False
    assert len(lpips.what["backbone_sha256"]) == 64


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"body": {"features.0.weight": torch.zeros(1)}}, "not the two files"),
        ({"lin": {"lin0.model.1.weight": torch.ones(1, 64, 1, 1)}}, "7 heads"),
        ({"lin": {"other": torch.ones(1)}}, "not the two files"),
        ({"body": {"epoch": 3}}, "not a torch state dict"),
    ],
)
def test_files_that_do_not_fit_are_refused(tmp_path, change, says):
    with pytest.raises(InputError, match=says):
        load_lpips("squeeze", *saved(tmp_path, **change))


def test_missing_files_and_unknown_trunks_are_named(tmp_path):
    with pytest.raises(InputError, match="alex, squeeze or vgg"):
        load_lpips("resnet", tmp_path, tmp_path)
    with pytest.raises(InputError, match="nowhere"):
        load_lpips("alex", tmp_path / "nowhere.pth", tmp_path / "lin.pth")
    (tmp_path / "text.pth").write_text("no weights")
    with pytest.raises(InputError, match="not a torch state dict"):
        load_lpips("alex", tmp_path / "text.pth", tmp_path / "text.pth")


@pytest.mark.shared
@pytest.mark.parametrize("trunk", CHANNELS)
def test_published_heads_are_recognised(assets, tmp_path, trunk):
    (heads,) = (assets / "models").glob(f"lpips_lin_{trunk}*.pth")
    body, _ = saved(tmp_path, trunk)
    lpips = load_lpips(trunk, body, heads)
    assert lpips.what["calibrated"] is False  # the trunk is ours
    from facecure.cloaks.lpips import PUBLISHED

    assert lpips.what["heads_sha256"] == PUBLISHED[trunk][1]

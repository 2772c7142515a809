"""Nothing in an iteration that a CUDA graph captures copies between host and device, or waits."""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from facecure import _core  # noqa: E402
from facecure.cloaks import dssim, fawkes_step, lowkey_step  # noqa: E402
from facecure.cloaks.fawkes import Mode  # noqa: E402
from facecure.cloaks.fawkes_v03 import FawkesV03  # noqa: E402
from facecure.cloaks.fawkes_v10 import FawkesV10  # noqa: E402
from facecure.cloaks.loop import Sources, iterate  # noqa: E402
from facecure.cloaks.lowkey import LowKey  # noqa: E402
from facecure.cloaks.lpips import Lpips, LpipsNetwork  # noqa: E402
from facecure.cloaks.surrogate import Surrogate  # noqa: E402
from facecure.extractors.networks import ARCHITECTURES, build_network  # noqa: E402
from facecure.extractors.networks.keras.plain import Rescaling  # noqa: E402
from facecure.kernels import cloak_steps_cuda  # noqa: E402

from .conftest import Tiny, random_weights  # noqa: E402
from .test_lpips import CHANNELS  # noqa: E402
from .watch import DEVICE, Watch  # noqa: E402

SIDE, COUNT = 112, 5
STEPS = ("dssim_planes_cuda", "fawkes_step_cuda", "lowkey_step_cuda")


@pytest.fixture
def pretended(monkeypatch):
    """Let "meta" pass for a CUDA device, whose kernels do nothing."""
    for module in (dssim, fawkes_step, lowkey_step):
        monkeypatch.setattr(module, "native_device", lambda values: "cuda")
    monkeypatch.setattr(torch, "autocast", lambda *a, **k: nullcontext())  # meta has none
    for name in STEPS:
        monkeypatch.setattr(_core, name, lambda **arguments: None, raising=False)
    monkeypatch.setattr(_core, "dssim_scratch", lambda height, width: 9, raising=False)
    monkeypatch.setattr(cloak_steps_cuda, "require_device", lambda: None)
    monkeypatch.setattr(cloak_steps_cuda, "_address", lambda *a, **k: 0)
    monkeypatch.setattr(cloak_steps_cuda, "_stream", lambda tensor: 0)


def lpips() -> Lpips:
    network = LpipsNetwork("squeeze")
    heads = [torch.rand(width) for width in CHANNELS["squeeze"]]
    return Lpips(network.load(network.features.state_dict(), heads), {}, device=DEVICE)


def rescaled(weights) -> torch.nn.Module:
    layer = Rescaling({"name": "r", "class": "Rescaling", "scale": [0.5, 2.0, 1.0], "offset": -1.0})
    return torch.nn.Sequential(layer, Tiny(weights))


CLOAKS = {
    "fawkes-v1.0": lambda surrogates, protocol: FawkesV10(surrogates, Mode(0.01, 12, 20), protocol),
    "fawkes-v0.3": lambda surrogates, protocol: FawkesV03(surrogates, Mode(0.005, 12, 30), protocol),
    "lowkey": lambda surrogates, protocol: LowKey(surrogates, protocol, lpips=None),
    "lowkey with LPIPS": lambda surrogates, protocol: LowKey(surrogates, protocol, lpips=lpips()),
    "lowkey-4-warp": lambda surrogates, protocol: LowKey(surrogates, protocol, lpips=lpips(), distinct=True, warp=True),
}
SURROGATES = {
    "plain": {},
    "of other colours": {"colour": "BGR"},
    "aligned": {"colour": "BGR"},
    "resizing": {"size": (96, 112)},
    "any size": {"size": None},
    "channels last": {"channels_last": True},
    "bfloat16": {"precision": "bf16"},
    "Keras": {"network": rescaled},
}


@pytest.mark.usefixtures("pretended")
@pytest.mark.parametrize("protocol", ["corrected", "facecure-2021"])
@pytest.mark.parametrize("kind", SURROGATES)
@pytest.mark.parametrize("name", CLOAKS)
def test_an_iteration_stays_on_its_device(name, kind, protocol):
    options = {"size": (SIDE, SIDE), "mean": [127.5] * 3, "std": [128.0] * 3, "device": DEVICE} | SURROGATES[kind]
    make = options.pop("network", Tiny)
    surrogates = [Surrogate(make(random_weights(i, "prelu")), **options) for i in range(2)]
    aligned = kind == "aligned" or "warp" in name
    if aligned and options["size"] is None:
        pytest.skip("a face is aligned to a size")
    matrices = np.repeat([[[1.0, 0, 0], [0, 1, 0]]], COUNT, 0)
    grids = [s.grid(matrices, (SIDE, SIDE)) if aligned else None for s in surrogates]
    pictures = torch.empty(COUNT, 3, SIDE, SIDE, device=DEVICE)
    cloak = CLOAKS[name](surrogates, protocol)
    state = cloak.start(Sources(pictures, grids, range(COUNT), pictures, grids))
    for state.iteration in (0, 5, cloak.iterations - 1):
        with Watch() as watch:
            iterate(cloak, state)
        assert watch.seen == []


@pytest.mark.parametrize("architecture", sorted(set(ARCHITECTURES) - {"keras"}))
def test_no_network_goes_to_the_host(architecture):
    network = build_network(architecture).to(DEVICE).eval().requires_grad_(False)
    spec = {"dlib": 150, "vgg": 224, "clip": 224, "inception": 160}
    side = next((size for name, size in spec.items() if architecture.startswith(name)), SIDE)
    faces = torch.empty(2, 3, side, side, device=DEVICE, requires_grad=True)
    with Watch() as watch:
        torch.autograd.grad(network(faces).sum(), faces)
    assert watch.seen == []


@pytest.mark.parametrize(
    "call",
    {
        "a list as index": lambda x: x[:, [2, 1, 0]],
        "numbers": lambda x: x * x.new_tensor([1.0, 2.0]),
        "numbers of a type": lambda x: x + torch.as_tensor([3.0], device=x.device),
        "a tensor of the host": lambda x: torch.ones(2).to(x),
        "one number of the host": lambda x: torch.ones(()).to(x),
        "to the host": lambda x: x.cpu(),
        "assigned": lambda x: x.copy_(torch.ones(2, 3)),
    }.items(),
    ids=lambda item: item[0],
)
def test_what_copies_is_seen(call):
    x = torch.empty(2, 3, device=DEVICE)
    with Watch() as watch:
        try:
            call[1](x)
        except (NotImplementedError, RuntimeError):  # meta tensors have nothing to copy
            pytest.skip("an error by itself")
    assert watch.seen

"""Nothing in an iteration that a CUDA graph captures copies between host and device, or waits."""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from facecure import _core  # noqa: E402
from facecure.cloaks.cloak import Sources  # noqa: E402
from facecure.cloaks.fawkes import Mode  # noqa: E402
from facecure.cloaks.fawkes_v03 import FawkesV03  # noqa: E402
from facecure.cloaks.fawkes_v10 import FawkesV10  # noqa: E402
from facecure.cloaks.loop import iterate  # noqa: E402
from facecure.cloaks.lowkey import LowKey, LowKey4Warp  # noqa: E402
from facecure.cloaks.lpips import Lpips, LpipsNetwork  # noqa: E402
from facecure.cloaks.options import CloakOptions  # noqa: E402
from facecure.cloaks.steps import dssim, fawkes_step, lowkey_step  # noqa: E402
from facecure.extractors.networks import build_network  # noqa: E402
from facecure.extractors.networks.keras.plain import Rescaling  # noqa: E402
from facecure.kernels import cloak_steps_cuda  # noqa: E402

from .conftest import Tiny, made_surrogate, random_weights  # noqa: E402
from .test_lpips import CHANNELS  # noqa: E402
from .watch import DEVICE, Watch  # noqa: E402

SIDE, COUNT = 112, 3
HOST = torch.ones(2, 3)
# one of each kind: those of a family differ in depth
NETWORKS = {
    "arcface-resnet34-keras": 112, "clip-vit-b32": 224, "dlib-resnet": 150, "inception-resnet-v1": 160,
    "inception-resnet-v1-keras-128": 160, "ir-50": 112, "iresnet18": 112, "magface-iresnet18": 112,
    "mobilefacenet-prelu": 112, "mobilefacenet-relu6": 112, "resnet-50": 112, "tiny-mixer": 64, "tiny-mobile": 64,
    "tiny-plain": 64, "vgg-face-descriptor": 224,
}  # fmt: skip
STEPS = ("dssim_planes_cuda", "fawkes_step_cuda", "lowkey_step_cuda")


@pytest.fixture
def pretended(monkeypatch):
    """Let "meta" pass for a CUDA device, whose kernels do nothing."""
    for module in (dssim, fawkes_step, lowkey_step):
        monkeypatch.setattr(module, "native_device", lambda values: "cuda")
    monkeypatch.setattr(torch, "autocast", lambda *a, **k: nullcontext())  # meta has none
    for name in STEPS:
        monkeypatch.setattr(_core, name, lambda **arguments: None, raising=False)
    monkeypatch.setattr(cloak_steps_cuda, "require_device", lambda number=None: None)
    monkeypatch.setattr(cloak_steps_cuda, "_place", lambda tensor: {})


@pytest.fixture
def untrained(monkeypatch):
    """Leave parameters as they are: values do not count."""
    for name in dir(nn.init):
        if name.endswith("_") and not name.startswith("_"):
            monkeypatch.setattr(nn.init, name, lambda tensor, *a, **k: tensor)


def lpips() -> Lpips:
    network = LpipsNetwork("squeeze")
    heads = [torch.rand(width) for width in CHANNELS["squeeze"]]
    return Lpips(network.load(network.features.state_dict(), heads), {}, device=DEVICE)


def rescaled(weights) -> nn.Module:
    layer = Rescaling({"name": "r", "class": "Rescaling", "scale": [0.5, 2.0, 1.0], "offset": -1.0})
    return nn.Sequential(layer, Tiny(weights))


CLOAKS = {
    "fawkes-v1.0": lambda surrogates, protocol: FawkesV10(surrogates, Mode(0.01, 12, 20), CloakOptions(protocol)),
    "fawkes-v0.3": lambda surrogates, protocol: FawkesV03(surrogates, Mode(0.005, 12, 30), CloakOptions(protocol)),
    "lowkey": lambda surrogates, protocol: LowKey(surrogates, options=CloakOptions(protocol, lpips="none")),
    "lowkey with LPIPS": lambda surrogates, protocol: LowKey(surrogates, options=CloakOptions(protocol, lpips=lpips())),
    "lowkey-4-warp": lambda surrogates, protocol: LowKey4Warp(
        surrogates, options=CloakOptions(protocol, lpips=lpips())
    ),
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
CASES = [
    *((name, kind, "corrected") for name in list(CLOAKS)[:3] for kind in SURROGATES),
    *((name, "plain", "facecure-2021") for name in list(CLOAKS)[:3]),
    *(("lowkey with LPIPS", kind, "corrected") for kind in ("plain", "aligned")),
    ("lowkey-4-warp", "aligned", "corrected"),
]


@pytest.mark.usefixtures("pretended", "untrained")
@pytest.mark.parametrize(("name", "kind", "protocol"), CASES)
def test_an_iteration_stays_on_its_device(name, kind, protocol):
    options = {"size": (SIDE, SIDE), "mean": [127.5] * 3, "std": [128.0] * 3, "device": DEVICE} | SURROGATES[kind]
    make = options.pop("network", Tiny)
    surrogates = [made_surrogate(make(random_weights(i, "prelu")), **options) for i in range(2)]
    matrices = np.repeat([[[1.0, 0, 0], [0, 1, 0]]], COUNT, 0)
    grids = [s.grid(matrices, (SIDE, SIDE)) if kind == "aligned" else None for s in surrogates]
    pictures = torch.empty(COUNT, 3, SIDE, SIDE, device=DEVICE)
    cloak = CLOAKS[name](surrogates, protocol)
    state = cloak.start(Sources(pictures, grids, range(COUNT), pictures, grids))
    state.iteration = 5  # of the phase that is captured
    with Watch() as watch:
        iterate(cloak, state)
    assert watch.seen == []


@pytest.mark.usefixtures("untrained")
@pytest.mark.parametrize("architecture", NETWORKS)
def test_no_network_goes_to_the_host(architecture):
    network = build_network(architecture).to(DEVICE).eval().requires_grad_(False)
    faces = torch.empty(2, 3, NETWORKS[architecture], NETWORKS[architecture], device=DEVICE, requires_grad=True)
    with Watch() as watch:
        torch.autograd.grad(network(faces).sum(), faces)
    assert watch.seen == []


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(lambda x: x[:, [2, 1, 0]], id="a list as index"),
        pytest.param(lambda x: x[np.array([0])], id="an array as index"),
        pytest.param(lambda x: x[:, torch.tensor([0])], id="a tensor of the host as index"),
        pytest.param(lambda x: x * x.new_tensor([1.0, 2.0, 3.0]), id="numbers"),
        pytest.param(lambda x: x + torch.as_tensor(3.0, device=x.device), id="one number"),
        pytest.param(lambda x: HOST.to(x), id="a tensor of the host"),
        pytest.param(lambda x: HOST.sum().to(x), id="one number of the host"),
        pytest.param(lambda x: x.copy_(HOST), id="assigned"),
    ],
)
def test_what_copies_is_seen(call):
    x = torch.empty(2, 3, device=DEVICE)
    with Watch() as watch:
        call(x)
    assert watch.seen


@pytest.mark.parametrize("call", [lambda x: x.cpu(), lambda x: float(x.sum()), lambda x: x[x > 0], lambda x: x.numpy()])
def test_what_waits_is_an_error(call):
    """So no iteration above does it: there are no values to wait for."""
    with pytest.raises((NotImplementedError, RuntimeError, TypeError)):
        call(torch.empty(2, 3, device=DEVICE))


def test_what_stays_is_not_seen():
    x = torch.empty(2, 3, device=DEVICE)
    with Watch() as watch:
        x[:, 1:].flip(0).mul_(2.0).add_(x.new_zeros(2, 1), alpha=3)
        x[torch.arange(2, device=DEVICE).clamp_(max=1)] / HOST.sum()
    assert watch.seen == []

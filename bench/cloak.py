"""Pictures per second for each cloak, one iteration against the released way, and where its time goes.

The released way, rebuilt in plain torch: autograd through everything, SSIM by five 11×11 convolutions, clean and target
features recomputed at each step, batch norms unfolded, LowKey's equal members computed twice. Both use MobileFaceNets
with the same random weights (their speed is that of trained ones), the same batch and the same threads. Gradients are
compared in float64 first.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from statistics import median

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from facecure.cloaks import fawkes_v03, fawkes_v10, surrogate
from facecure.cloaks.cloak import Cloak, Objective, Sources
from facecure.cloaks.fawkes_v03 import FawkesV03
from facecure.cloaks.fawkes_v10 import FawkesV10
from facecure.cloaks.loop import run as iterate
from facecure.cloaks.lowkey import LowKey, LowKeyState
from facecure.cloaks.lpips import Lpips, LpipsNetwork, squared
from facecure.cloaks.options import CloakOptions
from facecure.cloaks.steps import dssim, fawkes_step, gaussian, lowkey_step
from facecure.cloaks.surrogate import Preprocess, Surrogate
from facecure.extractors.networks import build_network
from facecure.extractors.networks.folding import fold_batch_norms
from facecure.kernels import FawkesMove
from facecure.pictures.synthetic import make_person, render
from facecure.threads import available_threads
from facecure.types import FaceGeometry

BATCH = 8
NETWORKS = {"mobilefacenet-prelu": (96, 112), "mobilefacenet-relu6": (112, 112)}
MEAN = STD = 127.5
# of a state and the networks, or of what they say: the loss's gradient, the released way and ours
Literal = Callable[[object, list[nn.Module]], Tensor]
Ours = Callable[[object, Objective], Tensor]
RELEASED = CloakOptions("facecure-2021")
Case = Callable[[torch.dtype], tuple[Cloak, Sources, Literal, Ours]]


def run(quick: bool) -> dict[str, object]:
    """Return the measurements; the headline is Fawkes v1.0 high."""
    torch.set_num_threads(available_threads())
    cases = {"fawkes-v1.0:high": v10, "fawkes-v0.3:high": v03, "lowkey": lowkey}
    found = {name: measured(name, case, repeats=2 if quick else 7, whole=not quick) for name, case in cases.items()}
    first = found["fawkes-v1.0:high"]
    return {
        "ours_s": first["ours_s"],
        "reference_s": first["reference_s"],
        "target": 1,
        "correct": all(case["gradient_error"] < 1e-6 for case in found.values()),
        "reference": "the released way in plain torch; seconds per picture and iteration, fawkes-v1.0:high",
        "batch": BATCH,
        "surrogates": list(NETWORKS),
        "cloaks": found,
    }


def measured(name: str, case: Case, repeats: int, *, whole: bool) -> dict:
    """Return seconds per picture and iteration of both ways, the gradients' distance and our shares of time."""
    cloak, sources, literal, gradient = case(torch.float64)
    state = cloak.start(sources)
    list(iterate(cloak, state, 2))  # off the flat start
    ours, theirs = gradient(state, cloak.objective(state)), literal(state, networks(torch.float64))
    error = float((ours - theirs).norm() / theirs.norm())
    cloak, sources, literal, _ = case(torch.float32)
    state, plain = cloak.start(sources), networks(torch.float32)
    spent: list[list[float]] = [[], []]
    for _ in range(repeats):
        started = time.perf_counter()
        list(iterate(cloak, state, 1))
        spent[0].append((time.perf_counter() - started) / BATCH)
        started = time.perf_counter()
        literal(state, plain)
        spent[1].append((time.perf_counter() - started) / BATCH)
    fast, slow = median(spent[0]), median(spent[1])
    print(f"{name}: ours {1e3 * fast:.1f} ms, released way {1e3 * slow:.1f} ms per picture and step", file=sys.stderr)
    found = {
        "ours_s": round(fast, 6), "reference_s": round(slow, 6), "ratio": round(slow / fast, 2),
        "gradient_error": float(f"{error:.2g}"), "profile": profile(cloak, state),
    }  # fmt: skip
    if whole:
        started = time.perf_counter()
        state = cloak.start(sources)
        list(iterate(cloak, state))
        cloak.finish(state)
        found["pictures_per_s"] = round(BATCH / (time.perf_counter() - started), 3)
        print(f"{name}: {found['pictures_per_s']} pictures/s", file=sys.stderr)
    return found


def profile(cloak: Cloak, state: object) -> dict[str, float]:
    """Return which share of one iteration goes where: the networks' passes, the native step, the rest."""
    owners = {
        "extractors": [(surrogate.Surrogate, "loss_and_grad"), (surrogate.Surrogate, "loss_and_grad_of_views")],
        "LPIPS": [(Lpips, "loss_and_grad")],
        "step": [(fawkes_step.NativeStep, "__call__"), (lowkey_step.NativeStep, "__call__")],
    }
    spent = dict.fromkeys(owners, 0.0)

    def timed(part: str, function: Callable) -> Callable:
        def wrapper(*args: object, **options: object) -> object:
            started = time.perf_counter()
            try:
                return function(*args, **options)
            finally:
                spent[part] += time.perf_counter() - started

        return wrapper

    methods = [(part, owner, name, getattr(owner, name)) for part, all_ in owners.items() for owner, name in all_]
    try:
        for part, owner, name, method in methods:
            setattr(owner, name, timed(part, method))
        started = time.perf_counter()
        list(iterate(cloak, state, 1))
        total = time.perf_counter() - started
    finally:
        for part, owner, name, method in methods:
            if part == "LPIPS":  # its own again is the extractors'
                delattr(owner, name)
            else:
                setattr(owner, name, method)
    shares = {part: round(seconds / total, 3) for part, seconds in spent.items() if seconds}
    return shares | {"rest": round(1 - sum(spent.values()) / total, 3)}


def pictures(size: int, first: int = 0) -> Tensor:
    """Return synthetic faces, float32 (BATCH, 3, size, size)."""
    drawn = np.stack([render(make_person(first + i), 0, size).pixels for i in range(BATCH)])
    return torch.from_numpy(drawn.transpose(0, 3, 1, 2).astype(np.float32))


def networks(dtype: torch.dtype) -> list[nn.Module]:
    """Return both networks with random weights and batch statistics, as they come out of their files."""
    found = []
    for seed, name in enumerate(NETWORKS):
        torch.manual_seed(seed)
        network = build_network(name)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.8, 1.2)
        found.append(network.to(dtype).eval().requires_grad_(False))
    return found


def surrogates(dtype: torch.dtype) -> list[Surrogate]:
    """Return both networks as `cloak` uses them."""
    named = zip(NETWORKS.items(), networks(dtype), strict=True)
    return [
        Surrogate(
            fold_batch_norms(network),
            Preprocess(FaceGeometry(*size), [MEAN] * 3, [STD] * 3),
            name=name,
            channels_last=True,
        )
        for (name, size), network in named
    ]


def embeddings(network: nn.Module, faces: Tensor) -> Tensor:
    """Return raw embeddings the plain way, for autograd; the first network's input is narrower."""
    width, height = NETWORKS["mobilefacenet-prelu" if _narrow(network) else "mobilefacenet-relu6"]
    if faces.shape[-2:] != (height, width):
        faces = functional.interpolate(faces, (height, width), mode="bilinear", antialias=True)
    return network((faces - MEAN) / STD)


def _narrow(network: nn.Module) -> bool:
    return any(isinstance(module, nn.PReLU) for module in network.modules())


def ssim_distance(a: Tensor, s: Tensor) -> Tensor:
    """Return (1 − SSIM) / 2 (N,) by five convolutions (docs/protocol.md §2)."""
    window = torch.from_numpy(np.outer(dssim.WINDOW, dssim.WINDOW)).to(a).expand(3, 1, 11, 11)
    mean = lambda v: functional.conv2d(v, window, groups=3)  # noqa: E731
    ma, ms = mean(a), mean(s)
    va, vs, cov = mean(a * a) - ma**2, mean(s * s) - ms**2, mean(a * s) - ma * ms
    c1, c2 = 6.5025, 58.5225
    value = (2 * ma * ms + c1) / (ma**2 + ms**2 + c1) * (2 * cov + c2) / (va + vs + c2)
    return (1 - value.mean((1, 2, 3))) / 2


def from_tanh(z: Tensor) -> Tensor:
    """Return grey levels, for autograd."""
    return (torch.tanh(z) / (2 - 1e-6) + 0.5) * 255


def to_tanh(x: Tensor) -> Tensor:
    """Return points in tanh space."""
    return torch.arctanh((x / 255 - 0.5) * (2 - 1e-6))


def v10(dtype: torch.dtype) -> tuple[Cloak, Sources, Literal, Ours]:
    """Return Fawkes v1.0 high and its gradient both ways."""
    models, faces = surrogates(dtype), pictures(112).to(dtype)
    mode = fawkes_v10.MODES["high"]
    cloak = FawkesV10(models, mode, RELEASED)

    def literal(state: fawkes_v10.V10State, plain: list[nn.Module]) -> Tensor:
        m = state.step.modifier.clone().requires_grad_()
        source = from_tanh(to_tanh(faces))
        a = source + (from_tanh(to_tanh(faces) + m) - source).clamp(-15, 15)
        feature = torch.zeros(BATCH, dtype=dtype)
        for model in plain:
            e, r = (functional.normalize(embeddings(model, v)) for v in (a, source))
            feature = feature + (e - r).square().sum(1) / r.norm(dim=1)
        excess = (ssim_distance(a, source) - 0.017).clamp(min=0)
        loss = (1e6 * excess.square() - state.weight * feature).sum()
        return torch.autograd.grad(loss, m)[0]

    def ours(state: fawkes_v10.V10State, found: Objective) -> Tensor:
        _, by_visible = mode.penalty(found.visible, cloak.penalty)
        none = torch.zeros(BATCH, dtype=torch.bool)
        return state.step.gradient(FawkesMove(found.gradients[0], by_visible, -state.weight, none, 1, frozen=True))

    return cloak, Sources(faces, [None] * len(models), range(BATCH)), literal, ours


def v03(dtype: torch.dtype) -> tuple[Cloak, Sources, Literal, Ours]:
    """Return Fawkes v0.3 high and its gradient both ways."""
    models, mode = surrogates(dtype), fawkes_v03.MODES["high"]
    faces, targets = pictures(224).to(dtype), pictures(224, BATCH).to(dtype)
    cloak = FawkesV03(models, mode, RELEASED)

    def literal(state: fawkes_v03.V03State, plain: list[nn.Module]) -> Tensor:
        m = state.step.modifier.clone().requires_grad_()
        a, source = from_tanh(to_tanh(faces) + m), from_tanh(to_tanh(faces))
        feature = torch.zeros(BATCH, dtype=dtype)
        for model in plain:
            e, s, t = (embeddings(model, v) for v in (a, source, targets))
            goal = (2 * t - s).detach()
            feature = feature + (goal - e).norm(dim=1) / goal.norm(dim=1)
        excess = (ssim_distance(a, source) - 0.008).clamp(min=0)
        return torch.autograd.grad((1e9 * excess.square() + feature).sum(), m)[0]

    def ours(state: fawkes_v03.V03State, found: Objective) -> Tensor:
        _, by_visible = mode.penalty(found.visible, cloak.penalty)
        none = torch.zeros(BATCH, dtype=torch.bool)
        return state.step.gradient(FawkesMove(found.gradients[0], by_visible, torch.ones_like(by_visible), none, 1))

    return cloak, Sources(faces, [None] * len(models), range(BATCH), targets), literal, ours


def lowkey(dtype: torch.dtype) -> tuple[Cloak, Sources, Literal, Ours]:
    """Return LowKey and its gradient both ways; LPIPS has AlexNet's shape and random weights."""
    models, faces = surrogates(dtype), pictures(112).to(dtype)
    torch.manual_seed(9)
    trunk = LpipsNetwork("alex")
    heads = [torch.rand(width) for width in (64, 192, 384, 256, 256)]
    lpips = Lpips(trunk.load(trunk.features.state_dict(), heads).to(dtype), {})
    cloak = LowKey(models, options=replace(RELEASED, lpips=lpips))
    window = torch.from_numpy(np.outer(gaussian.LOWKEY, gaussian.LOWKEY)).to(dtype).expand(3, 1, 7, 7)

    def smoothed(x: Tensor) -> Tensor:
        return functional.conv2d(functional.pad(x, (3,) * 4, mode="reflect"), window, groups=3)

    def feature(model: nn.Module, x: Tensor) -> Tensor:
        return functional.normalize(embeddings(model, 255 * x) + embeddings(model, 255 * x.flip(3)))

    def literal(state: LowKeyState, plain: list[nn.Module]) -> Tensor:
        x, clean = state.step.pictures.clone().requires_grad_(), faces / 255
        members = [model for model in plain for _ in range(2)]  # each backbone's second file overwrites its first
        spread = [
            (feature(model, view) - feature(model, clean).detach()).square().mean(1)
            for model in members
            for view in (smoothed(x), x)
        ]
        visible = squared(lpips.network(2 * x - 1), lpips.network(2 * clean - 1))
        return torch.autograd.grad((0.05 * visible - torch.stack(spread).mean(0)).sum(), x)[0]

    def ours(state: LowKeyState, found: Objective) -> Tensor:
        return state.step.gradient(*found.gradients)

    return cloak, Sources(faces, [None] * len(models), range(BATCH)), literal, ours

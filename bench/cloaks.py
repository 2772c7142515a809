"""One iteration of each cloak against the released way of computing it, and where its time goes.

The released way, rebuilt in plain torch: autograd through everything, SSIM by five 11×11 convolutions, clean and target
features recomputed at each step, LowKey's equal members computed twice. Both use the same MobileFaceNets with random
weights (their speed is that of trained ones), the same batch and the same threads; gradients are compared first.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from statistics import median

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from facecure.cloaks import dssim, fawkes_v03, fawkes_v10, gaussian, surrogate
from facecure.cloaks.fawkes_v03 import FawkesV03
from facecure.cloaks.fawkes_v10 import FawkesV10
from facecure.cloaks.loop import Cloak, Sources
from facecure.cloaks.lowkey import LowKey
from facecure.cloaks.lpips import Lpips, LpipsNetwork, squared
from facecure.cloaks.surrogate import Surrogate
from facecure.extractors.networks import build_network
from facecure.kernels import available_threads
from facecure.pictures.synthetic import make_person, render

BATCH = 8
NETWORKS = {"mobilefacenet-prelu": (96, 112), "mobilefacenet-relu6": (112, 112)}
MEAN = STD = 127.5


def run(quick: bool) -> dict[str, object]:
    """Return the measurements; the headline is Fawkes v1.0 high."""
    torch.set_num_threads(available_threads())
    cases = {"fawkes-v1.0:high": v10(), "fawkes-v0.3:high": v03(), "lowkey": lowkey()}
    found = {name: measured(name, *case, repeats=2 if quick else 7) for name, case in cases.items()}
    first = found["fawkes-v1.0:high"]
    return {
        "ours_s": first["ours_s"],
        "reference_s": first["reference_s"],
        "target": 1,
        "correct": all(case["gradient_error"] < 1e-3 for case in found.values()),
        "reference": "the released way in plain torch; seconds per picture and iteration, fawkes-v1.0:high",
        "batch": BATCH,
        "surrogates": list(NETWORKS),
        "cloaks": found,
    }


def measured(name: str, cloak: Cloak, sources: Sources, literal: Callable[[Tensor], Tensor], repeats: int) -> dict:
    """Return seconds per picture and iteration of both ways, the gradients' distance and our shares of time."""
    state = cloak.start(sources)
    for _ in range(2):  # off the flat start
        found = cloak.objective(state)
        cloak.accept(state, found)
        cloak.update(state, found)
        state.iteration += 1
    ours, theirs = cloak.objective(state).gradient, literal(state.variable)
    error = float((ours - theirs).norm() / theirs.norm())
    spent: list[list[float]] = [[], []]
    for _ in range(repeats):
        started = time.perf_counter()
        found = cloak.objective(state)
        cloak.accept(state, found)
        cloak.update(state, found)
        spent[0].append((time.perf_counter() - started) / BATCH)
        started = time.perf_counter()
        literal(state.variable)
        spent[1].append((time.perf_counter() - started) / BATCH)
    fast, slow = median(spent[0]), median(spent[1])
    print(f"{name}: ours {1e3 * fast:.1f} ms, released way {1e3 * slow:.1f} ms per picture and step", file=sys.stderr)
    return {
        "ours_s": round(fast, 6), "reference_s": round(slow, 6), "ratio": round(slow / fast, 2),
        "gradient_error": float(f"{error:.2g}"), "profile": profile(cloak, state),
    }  # fmt: skip


def profile(cloak: Cloak, state: object) -> dict[str, float]:
    """Return which share of one iteration goes where."""
    parts = {"extractors": (surrogate.Surrogate, "loss_and_grad"), "DSSIM": (dssim.Dssim, "__call__")}
    parts["LPIPS"] = (Lpips, "loss_and_grad")
    spent = dict.fromkeys([*parts, "smoothing"], 0.0)
    originals = {part: getattr(owner, method) for part, (owner, method) in parts.items()}

    def timed(part: str, function: Callable) -> Callable:
        def wrapper(*args: object, **options: object) -> object:
            started = time.perf_counter()
            try:
                return function(*args, **options)
            finally:
                spent[part] += time.perf_counter() - started

        return wrapper

    from facecure.cloaks import lowkey as room

    smoothing = room.smooth, room.smooth_transposed
    try:
        for part, (owner, method) in parts.items():
            setattr(owner, method, timed(part, originals[part]))
        room.smooth, room.smooth_transposed = (timed("smoothing", f) for f in smoothing)
        started = time.perf_counter()
        found = cloak.objective(state)
        cloak.accept(state, found)
        cloak.update(state, found)
        total = time.perf_counter() - started
    finally:
        for part, (owner, method) in parts.items():
            if part == "LPIPS":
                delattr(owner, method)
            else:
                setattr(owner, method, originals[part])
        room.smooth, room.smooth_transposed = smoothing
    shares = {part: round(seconds / total, 3) for part, seconds in spent.items() if seconds}
    return shares | {"rest": round(1 - sum(spent.values()) / total, 3)}


def pictures(size: int, first: int = 0) -> Tensor:
    """Return synthetic faces, float32 (BATCH, 3, size, size)."""
    drawn = np.stack([render(make_person(first + i), 0, size).pixels for i in range(BATCH)])
    return torch.from_numpy(drawn.transpose(0, 3, 1, 2).astype(np.float32))


def surrogates() -> list[Surrogate]:
    """Return both networks with random weights."""
    found = []
    for seed, (name, size) in enumerate(NETWORKS.items()):
        torch.manual_seed(seed)
        network = build_network(name)
        found.append(Surrogate(network, size=size, mean=[MEAN] * 3, std=[STD] * 3, name=name, channels_last=True))
    return found


def embeddings(model: Surrogate, faces: Tensor) -> Tensor:
    """Return raw embeddings the plain way, for autograd."""
    size = model._size
    assert size is not None
    if faces.shape[-2:] != size[::-1]:
        faces = functional.interpolate(faces, size[::-1], mode="bilinear", antialias=True)
    return model.network((faces - MEAN) / STD)


def ssim_distance(a: Tensor, s: Tensor) -> Tensor:
    """Return (1 − SSIM) / 2 (N,) by five convolutions (specification §2)."""
    window = torch.from_numpy(np.outer(dssim.WINDOW, dssim.WINDOW)).float().expand(3, 1, 11, 11)
    mean = lambda v: functional.conv2d(v, window, groups=3)  # noqa: E731
    ma, ms = mean(a), mean(s)
    va, vs, cov = mean(a * a) - ma**2, mean(s * s) - ms**2, mean(a * s) - ma * ms
    c1, c2 = 6.5025, 58.5225
    value = (2 * ma * ms + c1) / (ma**2 + ms**2 + c1) * (2 * cov + c2) / (va + vs + c2)
    return (1 - value.mean((1, 2, 3))) / 2


def from_tanh(z: Tensor) -> Tensor:
    """Return grey levels, for autograd."""
    return (torch.tanh(z) / (2 - 1e-6) + 0.5) * 255


def v10() -> tuple[Cloak, Sources, Callable[[Tensor], Tensor]]:
    """Return Fawkes v1.0 high and its gradient the released way."""
    models, faces = surrogates(), pictures(112)
    cloak = FawkesV10(models, fawkes_v10.MODES["high"], "facecure-2021")
    sources = Sources(faces, [None] * len(models), range(BATCH))
    start = cloak.start(sources)

    def literal(modifier: Tensor) -> Tensor:
        m = modifier.clone().requires_grad_()
        a = start.source + (from_tanh(start.point + m) - start.source).clamp(-15, 15)
        source = from_tanh(start.point)
        feature = torch.zeros(BATCH)
        for model in models:
            e, r = (functional.normalize(embeddings(model, v)) for v in (a, source))
            feature = feature + (e - r).square().sum(1) / r.norm(dim=1)
        excess = (ssim_distance(a, source) - 0.017).clamp(min=0)
        # const_diff after two iterations under the threshold
        loss = (1e6 * excess.square() - 4 * feature).sum()
        return torch.autograd.grad(loss, m)[0]

    return cloak, sources, literal


def v03() -> tuple[Cloak, Sources, Callable[[Tensor], Tensor]]:
    """Return Fawkes v0.3 high and its gradient the released way."""
    models, faces, targets = surrogates(), pictures(224), pictures(224, BATCH)
    cloak = FawkesV03(models, fawkes_v03.MODES["high"], "facecure-2021")
    sources = Sources(faces, [None] * len(models), range(BATCH), targets)
    start = cloak.start(sources)

    def literal(modifier: Tensor) -> Tensor:
        m = modifier.clone().requires_grad_()
        a, source = from_tanh(start.point + m), from_tanh(start.point)
        feature = torch.zeros(BATCH)
        for model in models:
            e, s, t = (embeddings(model, v) for v in (a, source, targets))
            goal = (2 * t - s).detach()
            feature = feature + (goal - e).norm(dim=1) / goal.norm(dim=1)
        excess = (ssim_distance(a, source) - 0.008).clamp(min=0)
        return torch.autograd.grad((1e9 * excess.square() + feature).sum(), m)[0]

    return cloak, sources, literal


def lowkey() -> tuple[Cloak, Sources, Callable[[Tensor], Tensor]]:
    """Return LowKey and its gradient the released way; LPIPS has AlexNet's shape and random weights."""
    models, faces = surrogates(), pictures(112)
    torch.manual_seed(9)
    trunk = LpipsNetwork("alex")
    heads = [torch.rand(width) for width in (64, 192, 384, 256, 256)]
    lpips = Lpips(trunk.load(trunk.features.state_dict(), heads), {})
    cloak = LowKey(models, "facecure-2021", lpips=lpips)
    sources = Sources(faces, [None] * len(models), range(BATCH))
    window = torch.from_numpy(np.outer(gaussian.LOWKEY, gaussian.LOWKEY)).float().expand(3, 1, 7, 7)

    def smoothed(x: Tensor) -> Tensor:
        return functional.conv2d(functional.pad(x, (3,) * 4, mode="reflect"), window, groups=3)

    def feature(model: Surrogate, x: Tensor) -> Tensor:
        return functional.normalize(embeddings(model, 255 * x) + embeddings(model, 255 * x.flip(3)))

    def literal(variable: Tensor) -> Tensor:
        x, clean = variable.clone().requires_grad_(), faces / 255
        members = [model for model in models for _ in range(2)]  # each backbone's second file overwrites its first
        spread = [
            (feature(model, view) - feature(model, clean).detach()).square().mean(1)
            for model in members
            for view in (smoothed(x), x)
        ]
        visible = squared(lpips.network(2 * x - 1), lpips.network(2 * clean - 1))
        return torch.autograd.grad((0.05 * visible - torch.stack(spread).mean(0)).sum(), x)[0]

    return cloak, sources, literal

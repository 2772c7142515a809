"""Cloaks on a GPU: native CUDA steps against eager torch, and captured iterations against the plain loop.

Correct are steps with the bits of the CPU's kernels, and graphs that replay to the bit what the loop does, for every
cloak. Then times: a step without its networks, as in `cloak_step`, and whole iterations of 16 pictures with an
iResNet-50. On torch's CPU, in small and uncaptured, for tests. Never run on a GPU yet.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn

from cloak_step import BOUND, EPSILON, PENALTY, RATE, THRESHOLD, Eager, pictures
from facecure.cloaks import fawkes_v03, fawkes_v10, loop
from facecure.cloaks.cloak import Cloak, Sources
from facecure.cloaks.fawkes_v03 import FawkesV03
from facecure.cloaks.fawkes_v10 import FawkesV10
from facecure.cloaks.lowkey import LowKey
from facecure.cloaks.lpips import Lpips, LpipsNetwork
from facecure.cloaks.options import CloakOptions
from facecure.cloaks.steps.fawkes_step import NativeStep
from facecure.cloaks.surrogate import Preprocess, Surrogate
from facecure.execution import Execution
from facecure.extractors.networks import build_network
from facecure.kernels import FawkesMove
from facecure.types import FaceGeometry

CASES = [(1, 112), (16, 112), (16, 224)]  # pictures, side; the headline is the second
STEPS, REPEATS, ITERATIONS = 20, 9, 12
SQUEEZE = (64, 128, 256, 384, 384, 512, 512)  # channels of LPIPS' layers


def run(quick: bool, device: str = "cuda") -> dict[str, object]:
    """Return the measurements; quick repeats less and takes a network of three layers."""
    if device == "cuda" and not torch.cuda.is_available():
        sys.exit("no CUDA device is visible; this benchmark measures one")
    cases = CASES[:1] if device == "cpu" else CASES
    steps = {f"{n} x {side}": step(n, side, device, 2 if quick else REPEATS) for n, side in cases}
    whole = {name: iterations(name, device, quick) for name in ("fawkes-v1.0", "fawkes-v0.3", "lowkey")}
    first = steps.get("16 x 112", steps["1 x 112"])
    return {
        "ours_s": first["ours_s"],
        "reference_s": first["reference_s"],
        "target": 1.0,  # none was set: a GPU is lent by chance
        "correct": all(one["same_bits"] for one in (*steps.values(), *whole.values())),
        "reference": f"the same step in eager torch with autograd on {device}; seconds per batch",
        "steps": steps,
        "iterations_ms": whole,
    }


def step(count: int, side: int, device: str, repeats: int) -> dict[str, Any]:
    """Return seconds per step of both ways, and whether the device's step has the CPU's bits."""
    source = pictures(count, side)
    random = torch.Generator().manual_seed(0)
    start = torch.empty(source.shape).uniform_(-1e-4, 1e-4, generator=random)
    by_feature = torch.randn(source.shape, generator=random) * 1e-3
    here, there = (moving(*(t.to(where) for t in (source, start, by_feature))) for where in ("cpu", device))
    for _ in range(6):
        here.move()
        there.move()
    same = torch.equal(here.step.pictures, there.step.pictures.cpu())
    twin = Eager(source.to(device), start.to(device))
    gradient = by_feature.to(device)
    ours, reference = timed([there.move, lambda: twin.step(gradient)], device, repeats)
    print(f"{count} x {side}: {1e3 * ours:.3f} ms, eager {1e3 * reference:.2f} ms", file=sys.stderr)
    return {"ours_s": ours, "reference_s": reference, "ratio": round(reference / ours, 1), "same_bits": same}


class moving:  # noqa: N801  # reads as what it returns
    """A native step with the moves of Fawkes v1.0."""

    def __init__(self, source: Tensor, start: Tensor, by_feature: Tensor) -> None:
        self.step = NativeStep(source, start, torch.zeros_like(source), bound=BOUND, epsilon=EPSILON)
        self.by_feature, self.ones = by_feature, torch.ones(len(source), device=source.device)

    def move(self) -> None:
        """Move on."""
        excess = (self.step.visible - THRESHOLD).clamp(min=0)
        self.step(FawkesMove(self.by_feature, 2 * PENALTY * excess, -self.ones, self.ones > 0, RATE, frozen=True))


def iterations(name: str, device: str, quick: bool) -> dict[str, Any]:
    """Return milliseconds per iteration, captured and not, and whether the pictures are the same."""
    count, side = (2, 48) if device == "cpu" else (16, 224 if name == "fawkes-v0.3" else 112)
    torch.manual_seed(0)
    network = small() if quick else build_network("iresnet50")
    execution, middle = Execution(device=device), [127.5] * 3
    surrogate = Surrogate(network, Preprocess(FaceGeometry(side, side), middle, middle, "BGR"), execution)
    if not quick and name == "fawkes-v0.3":  # which sees 224 × 224: resized, as its users' extractors do
        surrogate = Surrogate(network, Preprocess(FaceGeometry(112, 112), middle, middle), execution)
    makers: dict[str, Callable[[], Cloak[Any]]] = {
        "fawkes-v1.0": lambda: FawkesV10([surrogate], fawkes_v10.MODES["high"]),
        "fawkes-v0.3": lambda: FawkesV03([surrogate], fawkes_v03.MODES["high"]),
        "lowkey": lambda: LowKey([surrogate], options=CloakOptions(lpips=perceptual(device))),
    }
    given = pictures(count, side).to(device)
    sources = Sources(given, [None], range(count), given.flip(0), [None])
    found, spent = [], []
    for captured in (True, False):
        cloak = makers[name]()
        state = cloak.start(sources)
        with mock.patch.object(loop, "can_be_captured", lambda cloak, yes=captured: yes and device == "cuda"):
            list(loop.run(cloak, state, 3))  # warm, and captured
            synchronise(device)
            started = time.perf_counter()
            list(loop.run(cloak, state, 2 if device == "cpu" else ITERATIONS))
            synchronise(device)
        spent.append(1e3 * (time.perf_counter() - started) / (2 if device == "cpu" else ITERATIONS))
        found.append(state.step.pictures.cpu())
    print(f"{name}: {spent[0]:.2f} ms, not captured {spent[1]:.2f} ms", file=sys.stderr)
    return {"captured": spent[0], "plain": spent[1], "same_bits": torch.equal(*found)}


def small() -> nn.Module:
    """Return a network of three strided convolutions."""
    layers: list[nn.Module] = []
    for before, after in ((3, 8), (8, 16), (16, 32)):
        layers += [nn.Conv2d(before, after, 3, 2, 1), nn.PReLU(after)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 64))


def perceptual(device: str) -> Lpips:
    """Return LPIPS of SqueezeNet with random weights."""
    torch.manual_seed(0)
    network = LpipsNetwork("squeeze")
    heads = [torch.rand(width) for width in SQUEEZE]
    return Lpips(network.load(network.features.state_dict(), heads), {}, device=device)


def timed(ways: list[Callable[[], None]], device: str, repeats: int) -> list[float]:
    """Return the median seconds of each way, in turns of `STEPS`."""
    spent: list[list[float]] = [[] for _ in ways]
    for _ in range(repeats):
        for way, times in zip(ways, spent, strict=True):
            synchronise(device)
            started = time.perf_counter()
            for _ in range(STEPS):
                way()
            synchronise(device)
            times.append((time.perf_counter() - started) / STEPS)
    return [median(times) for times in spent]


def synchronise(device: str) -> None:
    """Wait for the device."""
    if device == "cuda":
        torch.cuda.synchronize()

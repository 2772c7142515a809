"""Embeddings on a GPU: faces per second and share of the device's own matrix rate; ends where there is no GPU.

iResNet-50 and -100 with random weights, from uint8 faces in host memory, batches of 1, 32 and 256: torch in bfloat16
and float32, a CUDA graph per pass and two under way; ONNX Runtime's CUDA provider in float32 and TensorRT in bfloat16
where they are installed. The matrix rate is that of one large bfloat16 product, measured beside them. On torch's CPU,
in small and by torch alone, for tests. Never run on a GPU yet.
"""

from __future__ import annotations

import importlib.util
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import onnxruntime
import torch
from torch.utils.flop_counter import FlopCounterMode

from embed import COSINES, embedder, random_network
from facecure.execution import Execution, Precision
from facecure.extractors.export import export_onnx, read_export
from facecure.extractors.runtimes import open_extractor
from facecure.extractors.runtimes.torch import load_network
from facecure.extractors.spec import ExtractorSpec
from facecure.types import Faces

NETWORKS = ("iresnet50", "iresnet100")
DRY = ("iresnet18",)
BATCHES = (1, 32, 256)
ROUNDS = 5
TARGET = 1.0  # none was set: a GPU is lent by chance


def run(quick: bool, device: str = "cuda") -> dict[str, object]:
    """Return the measurements; quick takes the smaller network alone."""
    if device == "cuda" and not torch.cuda.is_available():
        sys.exit("no CUDA device is visible; this benchmark measures one")
    peak = matrix_rate(device)
    found: dict[str, dict[str, Any]] = {}
    names = DRY if device == "cpu" else NETWORKS[:1] if quick else NETWORKS
    batch, ways = batches(device)[-1], ways_on(device)
    ours, other = ways[0], ("onnx", "fp32") if ("onnx", "fp32") in ways else ("torch", "fp32")
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            found[name] = measured(random_network(Path(folder), name), Path(folder), device, peak)
    first = found[names[0]]["faces_per_second"]
    return {
        "ours_s": 1 / first[f"{' '.join(ours)}, {batch}"],
        "reference_s": 1 / first[f"{' '.join(other)}, {batch}"],
        "target": TARGET,
        "correct": all(one["least_cosine"] >= COSINES["bf16"] for one in found.values()),
        "reference": f"{' '.join(other)} on {device}, {names[0]}, {batch} faces a pass; seconds per face",
        "matrix_rate_tflops": peak / 1e12,
        "networks": found,
    }


def measured(spec: ExtractorSpec, folder: Path, device: str, peak: float) -> dict[str, Any]:
    """Return faces per second and share of the matrix rate of every way and batch, and the least cosine to float32."""
    ways = ways_on(device)
    for runtime, precision in ways:
        if runtime != "torch":
            export_onnx(spec, folder / f"model-{precision}.onnx", precision=precision)
    pixels = np.random.default_rng(0).integers(0, 256, (2 * batches(device)[-1], 112, 112, 3), np.uint8)
    faces = Faces(pixels, spec.geometry)
    work = multiplications(spec)
    expected = (
        open_extractor(spec, Execution("torch", device=device, batch=min(32, len(pixels))))
        .embed(faces)
        .vectors.astype(np.float64)
    )
    speeds, shares, least = {}, {}, 1.0
    for batch in batches(device):
        some = Faces(pixels[: max(4 * batch, 32)], spec.geometry)
        calls: dict[str, Callable[[], Any]] = {}
        for runtime, precision in ways:
            graph = None if runtime == "torch" else read_export(folder / f"model-{precision}.onnx")
            made = open_extractor(spec, Execution(runtime, precision, device=device, batch=batch), graph=graph)
            calls[f"{runtime} {precision}, {batch}"] = embedder(made, some)
        for call in calls.values():
            least = min(least, float((call() * expected[: len(some.pixels)]).sum(1).min()))
        seconds: dict[str, list[float]] = {name: [] for name in calls}
        for _ in range(1 if device == "cpu" else ROUNDS):
            for name, call in calls.items():
                started = time.perf_counter()
                call()  # returns what the host can read: the device has finished
                seconds[name].append((time.perf_counter() - started) / len(some.pixels))
        speeds |= {name: 1 / median(times) for name, times in seconds.items()}
        shares |= {name: 2 * work / median(times) / peak for name, times in seconds.items()}
    return {"faces_per_second": speeds, "share_of_matrix_rate": shares, "least_cosine": least}


def ways_on(device: str) -> list[tuple[str, Precision]]:
    """Return the runtimes that there are, ours first."""
    if device == "cpu":
        return [("torch", "fp32")]
    found: list[tuple[str, Precision]] = [("torch", "bf16"), ("torch", "fp32")]
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        found.append(("onnx", "fp32"))
    if importlib.util.find_spec("tensorrt") is not None:
        found.append(("tensorrt", "bf16"))
    return found


def batches(device: str) -> tuple[int, ...]:
    """Return the batches that are measured."""
    return (2,) if device == "cpu" else BATCHES


def matrix_rate(device: str, side: int = 8192) -> float:
    """Return the floating-point operations per second of one bfloat16 product of square matrices."""
    side = side if device == "cuda" else 512
    a, b = (torch.randn(side, side, device=device).bfloat16() for _ in range(2))
    synchronise: Callable[[], None] = torch.cuda.synchronize if device == "cuda" else lambda: None
    times = []
    for _ in range(2 * ROUNDS):
        synchronise()
        started = time.perf_counter()
        a @ b
        synchronise()
        times.append(time.perf_counter() - started)
    return 2 * side**3 / median(times[ROUNDS:])


def multiplications(spec: ExtractorSpec) -> float:
    """Return the multiplications of one face's pass, counted by torch."""
    network, _ = load_network(spec)
    with FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, 3, spec.geometry.height, spec.geometry.width))
    return counter.get_total_flops() / 2

"""Embeddings of uint8 faces in the fastest lower precision against ONNX Runtime fed one prepared batch at a time.

Ours is OpenVINO in int8 or, where the processor has it and it is faster there, bfloat16. The network is an iResNet-50
with random weights; what a precision may cost in cosine is bounded. Which verdicts it changes on real networks, before
and after doubtful ones are settled, is counted by the benchmark `verdicts`.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from facecure.certificates.tuning import BATCHES, fastest_batch
from facecure.execution import Execution, Precision
from facecure.extractors.export import export_onnx, read_export
from facecure.extractors.networks import build_network
from facecure.extractors.runtimes import open_extractor
from facecure.extractors.runtimes.fixed_batch import FixedBatchExtractor
from facecure.extractors.spec import ExtractorSpec, parse_spec
from facecure.kernels.bf16 import has_bf16
from facecure.types import F32, Faces

TARGETS = {True: 2.1, False: 1.5}  # with bfloat16 and without
COSINES: dict[str, float] = {"int8": 0.999, "bf16": 0.9999, "fp32": 0.9999}
BATCH = 32


def run(quick: bool) -> dict[str, object]:
    """Return the measurements; quick takes fewer faces."""
    with tempfile.TemporaryDirectory() as folder:
        spec = random_network(Path(folder))
        export_onnx(spec, Path(folder) / "model.onnx")
        graph = read_export(Path(folder) / "model.onnx")
        count = 2 * BATCH if quick else 8 * BATCH
        pixels = np.random.default_rng(0).integers(0, 256, (count, 112, 112, 3), np.uint8)
        faces = Faces(pixels, spec.geometry)
        prepared = (pixels.transpose(0, 3, 1, 2).astype(np.float32) - 127.5) / 127.5
        reference = session(graph.data)
        some = Faces(pixels[: 2 * BATCH], spec.geometry)
        export_onnx(spec, Path(folder) / "model-int8.onnx", precision="int8", faces=some)
        coarse = read_export(Path(folder) / "model-int8.onnx")

        def lower(batch: int, precision: Precision) -> FixedBatchExtractor:
            within = coarse if precision == "int8" else graph
            return open_extractor(spec, Execution("openvino", precision, batch=batch), graph=within)

        precisions: list[Precision] = ["int8", *(["bf16"] if has_bf16() else [])]
        ours = {
            f"openvino {precision}": embedder(
                fastest_batch((lower(batch, precision=precision) for batch in BATCHES["cpu"]), some), faces
            )
            for precision in precisions
        }
        ways: dict[str, Callable[[], F32]] = {
            "onnxruntime fp32, prepared": lambda: batches(reference, prepared, BATCH),
            **ours,
            "openvino fp32": embedder(open_extractor(spec, Execution("openvino"), graph=graph), faces),
            "onnx fp32": embedder(open_extractor(spec, Execution("onnx"), graph=graph), faces),
            "torch fp32": embedder(open_extractor(spec), faces),
            "onnx int8": embedder(open_extractor(spec, Execution("onnx", "int8"), graph=coarse), faces),
            # what deepface and InsightFace do: a picture, normalised in numpy, and a pass of its own
            "onnxruntime fp32, a face at a time": lambda: one_by_one(reference, pixels),
        }
        if has_bf16():  # torch computes in it elsewhere too, by other means and for minutes
            ways["torch bf16"] = embedder(open_extractor(spec, Execution("torch", "bf16")), faces)
        vectors = {name: way() for name, way in ways.items()}  # also warms up
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(3 if quick else 5):
            for name, way in ways.items():
                time.sleep(0.3)  # ONNX Runtime's threads spin for a while after a pass
                started = time.perf_counter()
                way()
                seconds[name].append((time.perf_counter() - started) / count)
    unit = {name: v / np.linalg.norm(v, axis=1, keepdims=True) for name, v in vectors.items()}
    expected = unit["onnxruntime fp32, prepared"].astype(np.float64)
    cosine = {name: float((v * expected).sum(1).min()) for name, v in unit.items()}
    taken = min(ours, key=lambda name: median(seconds[name]))
    return {
        "ours_s": median(seconds[taken]),
        "ours": taken,
        "bf16_here": has_bf16(),
        "reference_s": median(seconds["onnxruntime fp32, prepared"]),
        "target": TARGETS[has_bf16()],
        "correct": all(value >= COSINES[bound_of(name)] for name, value in cosine.items()),
        "reference": f"ONNX Runtime, float32, batches of {BATCH} made before the clock; iResNet-50, seconds per face",
        "faces_per_second": {name: round(1 / median(times), 1) for name, times in seconds.items()},
        "least_cosine": {name: round(value, 6) for name, value in cosine.items()},
    }


def bound_of(name: str) -> str:
    """Return the precision that a way is in."""
    return next(precision for precision in COSINES if precision in name)


def random_network(folder: Path, name: str = "iresnet50") -> ExtractorSpec:
    """Return the spec of a network with random weights and statistics, its weights in `folder`."""
    torch.manual_seed(50)
    network = build_network(name)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d | torch.nn.BatchNorm1d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    torch.save(network.state_dict(), folder / f"{name}.pt")
    table = {
        "name": name, "weights": f"{name}.pt", "architecture": name, "embedding": {"size": 512},
        "input": {"width": 112, "height": 112, "mean": [127.5] * 3, "std": [127.5] * 3},
    }  # fmt: skip
    return parse_spec(table, folder)


def embedder(extractor: FixedBatchExtractor, faces: Faces) -> Callable[[], F32]:
    """Return a call that embeds the faces."""
    return lambda: extractor.embed(faces).vectors


def session(data: bytes) -> Any:
    """Return ONNX Runtime's session on two threads."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = len(os.sched_getaffinity(0))
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def batches(reference: Any, prepared: F32, size: int) -> F32:
    """Return raw embeddings, a batch after the other."""
    parts = [reference.run(None, {"faces": prepared[i : i + size]})[0] for i in range(0, len(prepared), size)]
    return np.concatenate(parts)


def one_by_one(reference: Any, pixels: Any) -> F32:
    """Return raw embeddings, each picture normalised and passed on its own."""
    rows = []
    for picture in pixels:
        planes = (picture.transpose(2, 0, 1)[None].astype(np.float32) - 127.5) / 127.5
        rows.append(reference.run(None, {"faces": planes})[0])
    return np.concatenate(rows)

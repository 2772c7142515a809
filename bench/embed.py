"""Embeddings of uint8 faces in the fastest certified precision against ONNX Runtime fed one prepared batch at a time.

The network that is timed is an iResNet-50 with random weights; what it may cost in cosine is bounded. Which verdicts a
lower precision changes is counted on the shared assets' MobileFaceNets, where they are: none may change in float32, and
none in bfloat16 once the probes whose margin is below the certified error are embedded again, inside the clock.
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

from facecure.certify import SAFETY, distance_error
from facecure.extractors.export import export_onnx, read_export
from facecure.extractors.networks import build_network
from facecure.extractors.runtimes import open_extractor
from facecure.extractors.runtimes.fixed_batch import FixedBatchExtractor
from facecure.extractors.spec import ExtractorSpec, parse_spec
from facecure.pictures.detect import Detector
from facecure.pictures.load import stack_faces
from facecure.pictures.manifest import read_samples
from facecure.protocols.split import make_split
from facecure.search.masked import rivals
from facecure.search.settle import settled
from facecure.types import F32, FaceGeometry, Faces

TARGET = 2.1
COSINE = 0.9999
BATCH = 32
NETWORKS = {  # of the assets: preprocessing by their README
    "insightface_y1.onnx": {"input": {"mean": [0, 0, 0], "std": [1, 1, 1]}},
    "foamliu_mfn.onnx": {"input": {"mean": [123.675, 116.28, 103.53], "std": [58.395, 57.12, 57.375]}},
}
TEMPLATE = [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]


def run(quick: bool) -> dict[str, object]:
    """Return the measurements; quick takes fewer faces and leaves the verdicts out."""
    with tempfile.TemporaryDirectory() as folder:
        spec = random_network(Path(folder))
        graph = read_export(Path(folder) / "model.onnx")
        count = 2 * BATCH if quick else 8 * BATCH
        pixels = np.random.default_rng(0).integers(0, 256, (count, 112, 112, 3), np.uint8)
        faces = Faces(pixels, spec.geometry)
        prepared = (pixels.transpose(0, 3, 1, 2).astype(np.float32) - 127.5) / 127.5
        reference = session(graph.data)
        ways: dict[str, Callable[[], F32]] = {
            "onnxruntime fp32, prepared": lambda: batches(reference, prepared, BATCH),
            "openvino bf16": embedder(open_extractor(spec, "openvino", "bf16", graph=graph), faces),
            "openvino fp32": embedder(open_extractor(spec, "openvino", graph=graph), faces),
            "onnx fp32": embedder(open_extractor(spec, "onnx", graph=graph), faces),
            "torch fp32": embedder(open_extractor(spec), faces),
            "torch bf16": embedder(open_extractor(spec, "torch", "bf16"), faces),
            # what deepface and InsightFace do: a picture, normalised in numpy, and a pass of its own
            "onnxruntime fp32, a face at a time": lambda: one_by_one(reference, pixels),
        }
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
    verdicts = {} if quick else real_verdicts()
    clean = all(v["fp32 changed"] == 0 and v["bf16 changed after embedding again"] == 0 for v in verdicts.values())
    return {
        "ours_s": median(seconds["openvino bf16"]),
        "reference_s": median(seconds["onnxruntime fp32, prepared"]),
        "target": TARGET,
        "correct": min(cosine.values()) >= COSINE and clean,
        "reference": f"ONNX Runtime, float32, batches of {BATCH} made before the clock; iResNet-50, seconds per face",
        "faces_per_second": {name: round(1 / median(times), 1) for name, times in seconds.items()},
        "least_cosine": {name: round(value, 6) for name, value in cosine.items()},
        "verdicts": verdicts,
    }


def random_network(folder: Path) -> ExtractorSpec:
    """Return the spec of an iResNet-50 with random weights and statistics, exported as model.onnx beside them."""
    torch.manual_seed(50)
    network = build_network("iresnet50")
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d | torch.nn.BatchNorm1d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    torch.save(network.state_dict(), folder / "iresnet50.pt")
    table = {
        "name": "iresnet50", "weights": "iresnet50.pt", "architecture": "iresnet50", "embedding": {"size": 512},
        "input": {"width": 112, "height": 112, "mean": [127.5] * 3, "std": [127.5] * 3},
    }  # fmt: skip
    spec = parse_spec(table, folder)
    export_onnx(spec, folder / "model.onnx")
    return spec


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


def real_verdicts() -> dict[str, dict[str, Any]]:
    """Return per network of the assets how many 1-NN decisions change; nothing where there are no assets."""
    assets = Path(os.environ.get("FACECURE_ASSETS", Path(__file__).parents[2] / "shared" / "assets"))
    if not assets.is_dir():
        return {}
    detector = Detector(next((assets / "models").glob("yunet*.onnx")))
    geometry = FaceGeometry(112, 112, "align", (112, 112), tuple((x, y) for x, y in TEMPLATE))
    samples, *_ = read_samples(assets / "lfw_multi")
    kept, faces, _ = stack_faces(samples, geometry, detector, threads=2)
    split = make_split(kept, [], "corrected", 0, 0)
    found = {}
    for file, more in NETWORKS.items():
        table = {
            "name": Path(file).stem, "weights": file, "embedding": {"size": 128},
            "input": {"width": 112, "height": 112, **more["input"]},
            "face": {"mode": "align", "canvas": [112, 112], "template": TEMPLATE},
        }  # fmt: skip
        spec = parse_spec(table, assets / "models")
        reference = open_extractor(spec).embed(faces).vectors
        full, lower = (open_extractor(spec, "openvino", precision) for precision in ("fp32", "bf16"))
        started = time.perf_counter()
        same = full.embed(faces).vectors
        full_s = time.perf_counter() - started
        started = time.perf_counter()
        vectors = lower.embed(faces).vectors
        lower_s = time.perf_counter() - started
        error = SAFETY * distance_error(vectors, same, split)

        def verdict(rows: F32, split: Any = split) -> Any:
            return rivals(rows[split.controls], split.control_labels, rows[split.enrolled], split.enrolled_labels)

        wanted = verdict(reference).mate.beats(verdict(reference).impostor)
        started = time.perf_counter()
        near = verdict(vectors)
        hits, again = settled(
            near, error, split.controls, split.control_labels, split.enrolled, split.enrolled_labels, vectors,
            lambda rows, full=full: full.embed(Faces(faces.pixels[rows], geometry)).vectors,
        )  # fmt: skip
        settle_s = time.perf_counter() - started
        found[Path(file).stem] = {
            "probes": len(wanted),
            "fp32 changed": int((verdict(same).mate.beats(verdict(same).impostor) != wanted).sum()),
            "bf16 changed": int((near.mate.beats(near.impostor) != wanted).sum()),
            "bf16 changed after embedding again": int((hits != wanted).sum()),
            "embedded again": again,
            "faces": len(faces.pixels),
            "openvino fp32 s": full_s,
            "openvino bf16 s": lower_s,
            "search and embedding again s": settle_s,
        }
    return found

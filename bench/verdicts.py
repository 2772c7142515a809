"""1-NN verdicts of real networks in a lower precision, exact again, against the same from ONNX Runtime in float32.

The shared assets' networks on LFW, taken into a cache of its own as a user would. First each is certified: through
torch, ONNX Runtime and OpenVINO, in float32, int8 and, where the processor has it, bfloat16, identification is compared
with assets/README.md and changed decisions are counted; in float32 none may change. Then the clock: OpenVINO embeds all
faces, the search decides, and what the certified error leaves open is embedded again in float32. No verdict may differ.
Ours is the precision that came to its verdicts first, float32, which leaves nothing open, among them.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from facecure.certificates.settle import Settled, settled
from facecure.certificates.verdicts import clean_rivals, clean_verdicts
from facecure.commands.certify import certify
from facecure.execution import Execution, Precision
from facecure.extractors.runtimes.fixed_batch import FixedBatchExtractor
from facecure.kernels.bf16 import has_bf16
from facecure.pictures.load import stack_faces
from facecure.pictures.manifest import read_samples
from facecure.protocols.split import Split, make_split
from facecure.types import F32, Faces
from facecure.zoo.cache import VARIABLE, ModelCache
from facecure.zoo.catalogue import zoo_entry
from facecure.zoo.find import find_detector, find_extractor, find_spec

TARGET = 2.0
ROUNDS = 5
WITHIN = 0.01  # of identification: assets/README.md measured a superset, "the same within about a point"
NETWORKS = {  # the assets' weights, and what their README identified on LFW
    "mobilefacenet-foamliu": ("foamliu_mobilefacenet.pt", 0.996),
    "mobilefacenet-xiaoccer": ("xiaoccer_mobilefacenet_068.ckpt", 0.992),
    "mobilefacenet-insightface-y1": ("insightface_y1.onnx", 0.996),
}
WAYS: tuple[tuple[str, Precision], ...] = (
    ("onnx", "fp32"), ("openvino", "fp32"), ("onnx", "int8"), ("openvino", "int8"),
)  # fmt: skip
BF16: tuple[tuple[str, Precision], ...] = (("torch", "bf16"), ("openvino", "bf16"))


def run(quick: bool) -> dict[str, object]:
    """Return the measurements; quick takes the first network alone."""
    assets = Path(os.environ.get("FACECURE_ASSETS", Path(__file__).parents[2] / "shared" / "assets"))
    if not assets.is_dir():
        sys.exit(f"{assets} is absent; name another folder with FACECURE_ASSETS")
    with tempfile.TemporaryDirectory() as folder:
        os.environ[VARIABLE] = folder
        cache, yunet = ModelCache(), zoo_entry("yunet")
        cache.add(yunet, [assets / "models" / yunet.files[0].name])
        found = {}
        for name, (weights, _) in list(NETWORKS.items())[: 1 if quick else None]:
            cache.add(zoo_entry(name), [assets / "models" / weights])
            found[name] = certificates(name, assets / "lfw_multi") | clocked(name, assets / "lfw_multi")
    exact = all(
        all(way["changed"] == 0 for way in one["clocked"]["openvino"].values())
        and one["onnx fp32"]["changed"] == one["openvino fp32"]["changed"] == 0
        and abs(one["reference"] - NETWORKS[name][1]) <= WITHIN
        for name, one in found.items()
    )
    seconds = [one["clocked"] for one in found.values()]
    ours = {way: median(one["openvino"][way]["s"] for one in seconds) for way in seconds[0]["openvino"]}
    first = min(ours, key=lambda way: ours[way])
    return {
        "ours_s": ours[first],
        "ours": f"openvino {first}",
        "bf16_here": has_bf16(),
        "reference_s": median(one["onnx fp32 s"] for one in seconds),
        "target": TARGET,
        "correct": exact,
        "reference": "ONNX Runtime in float32 through the same pipeline, and the search; all LFW faces, median network",
        "networks": found,
        "assets_readme": {name: NETWORKS[name][1] for name in found},
    }


def certificates(name: str, faces: Path) -> dict[str, Any]:
    """Return the identification of the reference and, per runtime and precision, what changes and how fast it is."""
    weights = find_spec(name).architecture
    ways = [way for way in (*WAYS, *(BF16 if has_bf16() else ())) if weights or way[0] != "torch"]
    certified = list(certify(name, faces, ways, detector="yunet").values())
    reference = certified[0].differences.identified
    return {"reference": reference.rate} | {
        f"{certificate.runtime} {certificate.precision}": {
            "identified": certificate.differences.identified.rate + certificate.differences.identified.shift,
            "decisions": certificate.differences.decisions,
            "changed": certificate.differences.changed,
            "changed after settling": certificate.differences.settled_changed,
            "largest 1 - cosine": float(f"{certificate.differences.largest_error:.1e}"),
            "faces per second": round(certificate.speed.here),
            "batch": certificate.speed.batch,
            "distance bound": certificate.differences.distance_bound,
        }
        for certificate in certified
    }


def clocked(name: str, folder: Path) -> dict[str, Any]:
    """Return seconds of all ways from faces to verdicts, in turn, and what had to be embedded again."""
    samples, *_ = read_samples(folder)
    kept, faces, _ = stack_faces(samples, find_spec(name).geometry, find_detector("yunet"), Execution(threads=2))
    split = make_split(kept, [], "corrected", 0, 0)
    precisions: list[Precision] = ["fp32", "int8", *(["bf16"] if has_bf16() else [])]
    reference, full = find_extractor(name, Execution("onnx")), find_extractor(name, Execution("openvino"))
    lower = {precision: find_extractor(name, Execution("openvino", precision)) for precision in precisions}
    certified = certify(name, folder, [("openvino", precision) for precision in precisions], detector="yunet").values()
    bounds = {certificate.precision: certificate.differences.distance_bound for certificate in certified}
    times: dict[str, list[float]] = {precision: [] for precision in ("reference", *precisions)}
    settled_ones: dict[str, Settled] = {}
    for _ in range(ROUNDS + 1):  # the first warms up
        started = time.perf_counter()
        wanted = clean_verdicts(reference.embed(faces), split).identified
        times["reference"].append(time.perf_counter() - started)
        for precision in precisions:
            started = time.perf_counter()
            settled_ones[precision] = exact_again(lower[precision], full, faces, split, bounds[precision])
            times[precision].append(time.perf_counter() - started)
    return {
        "clocked": {
            "onnx fp32 s": median(times["reference"][1:]),
            "faces": len(kept),
            "probes": len(wanted),
            "openvino": {
                precision: {
                    "s": median(times[precision][1:]),
                    "embedded again": one.again,
                    "bound widened": one.error != bounds[precision],
                    "changed": int(np.sum(one.identified != wanted)),
                }
                for precision, one in settled_ones.items()
            },
        }
    }


def exact_again(
    lower: FixedBatchExtractor, full: FixedBatchExtractor, faces: Faces, split: Split, error: float
) -> Settled:
    """Return whether each probe is identified, and how many faces were embedded in full for it."""
    embeddings = lower.embed(faces)

    def whole(rows: Any) -> F32:
        return full.embed(Faces(faces.pixels[rows], faces.geometry)).vectors

    return settled(
        clean_rivals(embeddings, split), error, split.controls, split.control_labels, split.enrolled,
        split.enrolled_labels, embeddings.vectors, whole,
    )  # fmt: skip

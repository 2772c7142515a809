"""The zoo's torch networks on real pictures against the ONNX ports that the shared assets give.

Takes the assets' weights into a cache of its own through `ModelCache.add`, as a user would. Correct: vectors equal to
1e-4, and the same 1-NN decision for every probe (70/30 per identity, 5 seeds, faces aligned by YuNet). Times both, and
says how far identification is from what assets/README.md measured, on a superset of these pictures.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np

from facecure.embeddings.pipeline import embed
from facecure.execution import Execution
from facecure.extractors.extractor import Extractor
from facecure.extractors.runtimes import open_extractor
from facecure.extractors.spec import ExtractorSpec
from facecure.pictures.load import stack_faces
from facecure.pictures.manifest import read_samples
from facecure.pictures.yunet import YuNet
from facecure.types import F32, Bool, Faces, Sample
from facecure.zoo.cache import ModelCache
from facecure.zoo.catalogue import zoo_entry

TARGET = 1.0  # torch is there for gradients; ONNX Runtime is the default
# the assets' weights, the ONNX port beside them, and what assets/README.md identified: LFW, with distractors, FaceScrub
NETWORKS = {
    "mobilefacenet-xiaoccer": ("xiaoccer_mobilefacenet_068.ckpt", "xiaoccer_mfn.onnx", (0.992, 0.989, 0.986)),
    "mobilefacenet-foamliu": ("foamliu_mobilefacenet.pt", "foamliu_mfn.onnx", (0.996, 0.995, 0.982)),
    "dlib-resnet": (None, "dlib_resnet.onnx", (0.989, 0.979, 0.982)),
    "mobilefacenet-insightface-y1": ("insightface_y1.onnx", None, (0.996, 0.996, 0.987)),
    "mobilefacenet-mobileface-v3": ("mobileface_v3.onnx", None, (0.932, 0.906, 0.898)),
}
INSIDE = {"dlib_resnet.onnx"}  # normalisation inside the port: it takes 0…255
VECTORS = 1e-4


def run(quick: bool) -> dict[str, object]:
    """Return the measurements; quick takes FaceScrub alone."""
    assets = Path(os.environ.get("FACECURE_ASSETS", Path(__file__).parents[2] / "shared" / "assets"))
    if not assets.is_dir():
        sys.exit(f"{assets} is absent; name another folder with FACECURE_ASSETS")
    with tempfile.TemporaryDirectory() as folder:
        cache = ModelCache(folder)
        yunet = zoo_entry("yunet")
        cache.add(yunet, [assets / "models" / yunet.files[0].name])
        return measure(assets, cache, quick)


def measure(assets: Path, cache: ModelCache, quick: bool) -> dict[str, object]:
    """Return the result for the assets' pictures."""
    detector = YuNet(*cache.files(zoo_entry("yunet")))
    people = pictures(assets, quick)
    extractors: dict[str, Extractor] = {}
    worst, seconds = {}, {}
    for name, (weights, port, _) in NETWORKS.items():
        entry = zoo_entry(name)
        cache.add(entry, [assets / "models" / weights if weights else dlib_file()])
        spec = cache.spec(entry)
        extractors[name] = open_extractor(spec)
        if port:
            extractors[f"{name} as ONNX"] = other = open_extractor(as_port(spec, assets / "models" / port))
            _, faces, _ = stack_faces(
                people["facescrub"][: 16 if quick else 80], spec.geometry, detector, Execution(threads=2)
            )
            worst[name], seconds[name] = against_port(extractors[name], other, faces)
    found: dict[str, dict[str, float]] = {name: {} for name in extractors}
    changed = dict.fromkeys(worst, 0)
    for kind, samples in people.items():
        table = embed(samples, list(extractors.values()), detector)
        for sort, distractors in ((kind, False), (f"{kind} and distractors", True))[: 1 + (kind == "lfw")]:
            hits = {
                name: identified(table.samples, embeddings.vectors, with_distractors=distractors)
                for name, embeddings in zip(extractors, table.embeddings, strict=True)
            }
            found = {name: rows | {sort: round(float(hits[name].mean()), 4)} for name, rows in found.items()}
            for name in worst:
                changed[name] += int((hits[name] != hits[f"{name} as ONNX"]).sum())
    ours, theirs = (median(pair[i] for pair in seconds.values()) for i in (0, 1))
    return {
        "ours_s": ours,
        "reference_s": theirs,
        "target": TARGET,
        "correct": max(worst.values()) <= VECTORS and not any(changed.values()),
        "reference": "ONNX Runtime on the assets' ports of the same weights; median over networks, seconds per face",
        "largest_difference": {name: float(f"{value:.1e}") for name, value in worst.items()},
        "changed_decisions": changed,
        "seconds_per_face": {name: {"torch": a, "onnxruntime": b} for name, (a, b) in seconds.items()},
        "identified": {name: found[name] for name in NETWORKS},
        "assets_readme": {} if quick else {
            name: dict(zip(found[name], expected, strict=True)) for name, (_, _, expected) in NETWORKS.items()
        },
        "pictures": {kind: len(samples) for kind, samples in people.items()},
    }  # fmt: skip


def pictures(assets: Path, quick: bool) -> dict[str, list[Sample]]:
    """Return the samples per set; the LFW distractors are people of one picture each, which nobody searches."""
    facescrub, *_ = read_samples(assets / "facescrub" / "original")
    if quick:
        return {"facescrub": facescrub}
    lfw, *_ = read_samples(assets / "lfw_multi")
    others, *_ = read_samples(assets / "lfw_distractors")
    return {"lfw": [*lfw, *others], "facescrub": facescrub}


def as_port(spec: ExtractorSpec, port: Path) -> ExtractorSpec:
    """Return the spec of the assets' ONNX port of the same weights."""
    inside = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)} if port.name in INSIDE else {}
    return replace(spec, name=f"{spec.name}-port", weights=port, sha256=None, architecture=None, **inside)


def against_port(ours: Extractor, theirs: Extractor, faces: Faces) -> tuple[float, tuple[float, float]]:
    """Return the largest difference of a value of unit vectors, and seconds per face of both, median of five."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(5):
        vectors = []
        for extractor, times in zip((ours, theirs), seconds, strict=True):
            started = time.perf_counter()
            vectors.append(extractor.embed(faces).vectors)
            times.append((time.perf_counter() - started) / len(faces.pixels))
    return float(np.abs(vectors[0] - vectors[1]).max()), (median(seconds[0]), median(seconds[1]))


def identified(samples: Sequence[Sample], vectors: F32, *, with_distractors: bool) -> Bool:
    """Return per probe of five 70/30 splits per identity whether the nearest gallery row is a mate's."""
    names = np.array([sample.identity for sample in samples])
    people, counts = np.unique(names, return_counts=True)
    many = people[counts > 1]
    hits = []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        probes = [rng.permutation(np.flatnonzero(names == p))[: max(1, round(0.3 * (names == p).sum()))] for p in many]
        probe = np.concatenate(probes)
        gallery = np.setdiff1d(np.arange(len(names)), probe)
        if not with_distractors:
            gallery = gallery[np.isin(names[gallery], many)]
        nearest = gallery[(vectors[probe] @ vectors[gallery].T).argmax(1)]  # of unit rows
        hits.append(names[nearest] == names[probe])
    return np.concatenate(hits)


def dlib_file() -> Path:
    """Return dlib's own file, which the PyPI package face_recognition_models carries."""
    import importlib.util

    package = importlib.util.find_spec("face_recognition_models")
    if package is None or not package.submodule_search_locations:
        sys.exit('face_recognition_models is not installed: pip install "facecure[test]"')
    return Path(package.submodule_search_locations[0]) / "models" / "dlib_face_recognition_resnet_model_v1.dat"

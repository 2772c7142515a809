"""Whether another runtime or precision decides as the reference does, counted on faces."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from facecure.atomic import write_whole
from facecure.embed import Progress
from facecure.environment import environment
from facecure.errors import InputError
from facecure.extractors.runtimes import Runtime, open_extractor
from facecure.extractors.runtimes.fixed_batch import FixedBatchExtractor
from facecure.extractors.spec import Precision
from facecure.kernels import available_threads
from facecure.pictures.load import stack_faces
from facecure.pictures.manifest import read_samples
from facecure.protocols.split import Split, make_split
from facecure.search.exact import squared_distances
from facecure.search.masked import rivals
from facecure.types import F32, F64, I64, Bool, Faces
from facecure.zoo.exports import Exports
from facecure.zoo.find import find_detector, find_spec

SPLITS = 5
TIMED = 256  # faces, at most, and three passes over them
SHARES = (0.5, 0.9, 0.99, 1.0)
SAFETY = 2.0  # the error of distances that is promised, as a multiple of the largest one seen


@dataclass(frozen=True, slots=True)
class Certificate:
    """What one runtime and precision changes; `facts` are the JSON that was written to `file`."""

    runtime: Runtime
    precision: Precision
    file: Path
    facts: dict[str, Any]

    @property
    def certified(self) -> bool:
        """Return whether nothing changed beyond the bounds that were asked for."""
        return bool(self.facts["certified"])


def certify(
    extractor: str | os.PathLike[str],
    faces: str | os.PathLike[str],
    runtimes: Sequence[tuple[Runtime, Precision]],
    *,
    detector: str | os.PathLike[str] | None = None,
    most_changed: int = 0,
    most_error: float = 1e-4,
    seed: int = 0,
    threads: int = 0,
    progress: Progress = lambda stage, done, total: None,
) -> list[Certificate]:
    """Return one certificate per runtime and precision, each written beside the extractor's export.

    The same faces of the folder or manifest `faces` go through the reference, the runtime that the weights need by
    themselves in float32, and through each of `runtimes`. Certified is what changes at most `most_changed` 1-NN
    decisions over five splits and no embedding by more than `most_error` in 1 − cosine. A missing export is made.
    Raises `InputError` where there are too few people to decide anything, or a runtime cannot run.
    """
    spec = find_spec(extractor)
    exports = Exports(spec)
    threads = threads or available_threads()
    reference = open_extractor(spec, threads=threads)
    finder = find_detector(detector)
    if spec.geometry.mode == "align" and finder is None:
        raise InputError(f"{spec.name} aligns faces: name yunet of the zoo or a YuNet ONNX file with --detector")
    samples, left_out, warnings = read_samples(Path(faces))
    kept, cut, faceless = stack_faces(
        samples, spec.geometry, finder, threads, lambda done: progress("faces", done, len(samples))
    )
    splits = [make_split(kept, [], "corrected", seed, repeat) for repeat in range(SPLITS)]
    if not kept or not len(splits[0].controls):
        raise InputError(f"{faces}: certificates need people of two pictures or more, a folder each")
    expected = reference.embed(cut).vectors
    verdicts = [_decide(expected, split) for split in splits]
    found = []
    for number, (runtime, precision) in enumerate(runtimes, 1):
        if runtime != "torch":
            exports.export(runtime, precision)
        graph = exports.graph(runtime, precision)
        other = open_extractor(spec, runtime, precision, graph=graph, threads=threads)
        facts = _compare(reference, other, cut, expected, splits, verdicts)
        facts |= {
            "certified": facts["changed_decisions"] <= most_changed and facts["error"]["1.0"] <= most_error,
            "bounds": {"changed_decisions": most_changed, "error": most_error},
            "faces": {
                "folder": str(faces),
                "pictures": len(kept),
                "identities": len({sample.identity for sample in kept}),
                "excluded": [{"path": str(e.path), "reason": e.reason} for e in (*left_out, *faceless)],
                "warnings": warnings,
            },
            "detector": None if finder is None else finder.digest,
            "export_sha256": None if graph is None else graph.sha256,
            "environment": environment() | {"reference": reference.what_ran, "extractor": other.what_ran},
        }
        file = exports.certificate(runtime, precision)
        write_whole(file, json.dumps(facts, indent=1, ensure_ascii=False))
        found.append(Certificate(runtime, precision, file, facts))
        progress("runtimes", number, len(runtimes))
    return found


def distance_error(vectors: F32, expected: F32, split: Split) -> float:
    """Return by how much any distance of a probe to a gallery row differs between two embeddings of the same faces."""
    worst = 0.0
    for probe in split.controls:
        here, there = (
            np.sqrt(
                squared_distances(
                    np.broadcast_to(rows[probe], (len(split.enrolled), rows.shape[1])), rows[split.enrolled]
                )
            )
            for rows in (vectors, expected)
        )
        worst = max(worst, float(np.abs(here - there).max()))
    return worst


@dataclass(frozen=True, slots=True)
class _Verdict:
    """Per probe: the identity that it is taken for, whether that is right, and by how much its mate is nearer."""

    label: I64
    identified: Bool
    margin: F64


def _decide(vectors: F32, split: Split) -> _Verdict:
    found = rivals(vectors[split.controls], split.control_labels, vectors[split.enrolled], split.enrolled_labels)
    identified = found.mate.beats(found.impostor)
    label = np.where(identified, split.control_labels, found.impostor_label)
    return _Verdict(label, identified, np.sqrt(found.impostor.distance) - np.sqrt(found.mate.distance))


def _compare(
    reference: FixedBatchExtractor, other: FixedBatchExtractor, faces: Faces, expected: F32, splits: Sequence[Split],
    verdicts: Sequence[_Verdict],
) -> dict[str, Any]:  # fmt: skip
    """Return what differs, and faces per second of both, measured in turn."""
    vectors = other.embed(faces).vectors
    # 1 − cosine, from the distance of directions: of nearly equal ones the product has no digits left
    lengths = [np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True) for rows in (vectors, expected)]
    error = np.square(vectors / lengths[0] - expected / lengths[1]).sum(1) / 2
    now = [_decide(vectors, split) for split in splits]
    changed = np.concatenate([a.label != b.label for a, b in zip(verdicts, now, strict=True)])
    margins = np.concatenate([verdict.margin for verdict in verdicts])
    rates = [float(np.concatenate([v.identified for v in each]).mean()) for each in (verdicts, now)]
    some = Faces(faces.pixels[:TIMED], faces.geometry)
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(3):
        for extractor, times in zip((reference, other), seconds, strict=True):
            started = time.perf_counter()
            extractor.embed(some)
            times.append(time.perf_counter() - started)
    return {
        "decisions": len(changed),
        "changed_decisions": int(changed.sum()),
        "changed_margins": sorted(round(float(value), 6) for value in np.abs(margins[changed])),
        "identified": {"reference": rates[0], "here": rates[1], "shift": rates[1] - rates[0]},
        "error": {str(share): float(np.quantile(error, share)) for share in SHARES},
        "distance_bound": SAFETY * max(distance_error(vectors, expected, split) for split in splits),
        "faces_per_second": len(some.pixels) / median(seconds[1]),
        "reference_faces_per_second": len(some.pixels) / median(seconds[0]),
        "batch": other.batch,
    }

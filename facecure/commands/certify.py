"""Whether another runtime or precision decides as the reference does, counted on faces."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from facecure.certificates.settle import SAFETY, settled
from facecure.certificates.verdicts import (
    Verdicts,
    changed,
    clean_rivals,
    clean_verdicts,
    cloaked_verdicts,
    distance_error,
)
from facecure.errors import InputError
from facecure.execution import Execution, Precision, Progress, silent
from facecure.extractors.quantize import spread
from facecure.extractors.runtimes import open_extractor, runtime_class
from facecure.extractors.runtimes.fixed_batch import FixedBatchExtractor
from facecure.extractors.runtimes.tuning import BATCHES, faces_per_second, fastest_batch
from facecure.pictures.detect import check_detector
from facecure.pictures.load import stack_faces
from facecure.pictures.manifest import read_sets
from facecure.protocols.paired import paired_rows
from facecure.protocols.split import Split, make_split
from facecure.runs.atomic import write_whole
from facecure.runs.environment import environment
from facecure.types import F32, F64, Faces
from facecure.zoo.exports import Exports
from facecure.zoo.find import find_detector, find_spec

SPLITS = 5
TIMED = 256  # faces, at most
SHARES = (0.5, 0.9, 0.99, 1.0)
# 1 − cosine that an embedding may move: rounding alone, and in int8 what good calibration leaves
MOST_ERROR: dict[Precision, float] = {"fp32": 1e-4, "bf16": 1e-4, "fp16": 1e-4, "int8": 1e-2}


@dataclass(frozen=True, slots=True)
class Certificate:
    """What one runtime and precision changes; `facts` are the JSON that was written to `file`."""

    runtime: str
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
    runtimes: Sequence[tuple[str, Precision]],
    *,
    cloaked: Mapping[str, str | os.PathLike[str]] | None = None,
    unprotected: Mapping[str, str | os.PathLike[str]] | None = None,
    detector: str | os.PathLike[str] | None = None,
    most_changed: int = 0,
    most_error: float | None = None,
    seed: int = 0,
    threads: int = 0,
    device: str = "cpu",
    progress: Progress = silent,
) -> list[Certificate]:
    """Return one certificate per runtime and precision, each written beside the extractor's export.

    The same faces of the folder or manifest `faces` go through the reference, the runtime that the weights need by
    themselves in float32, and through each of `runtimes`, in the batch that is fastest there. With `cloaked` and
    `unprotected`, as for `evaluate`, the people's cloaked pictures are decided on too, and the shift of each protection
    rate is told. Certified is what changes at most `most_changed` 1-NN decisions over five splits and no embedding by
    more than `most_error` in 1 − cosine, by default that of `MOST_ERROR`. A missing export is made, one in int8
    calibrated on clean pictures of the same faces. What is certified is so on this kind of processor. Raises
    `InputError` where there are too few people to decide anything, or a runtime cannot run.
    """
    spec = find_spec(extractor)
    exports = Exports(spec)
    execution = Execution(device=device, threads=threads, progress=progress)
    reference = open_extractor(spec, execution)
    finder = find_detector(detector)
    check_detector([spec.name] if spec.geometry.found else [], finder)
    sets = read_sets(Path(faces), _paths(cloaked), _paths(unprotected), [])
    found, cut, faceless = stack_faces(sets.samples, spec.geometry, finder, execution)
    rows, unpaired = paired_rows(found, range(len(found)))
    kept, cut = [found[row] for row in rows], Faces(cut.pixels[rows], cut.geometry)
    cloaks = list(cloaked or {})
    splits = [make_split(kept, cloaks, "corrected", seed, repeat) for repeat in range(SPLITS)]
    if not len(splits[0].controls):
        raise InputError(f"{faces}: certificates need people of two pictures or more, a folder each")
    expected = _Decided(reference.embed(cut).vectors, splits, cloaks)
    clean = np.array([row for row, sample in enumerate(kept) if not sample.cloak])
    calibrating = Faces(cut.pixels[clean[spread(len(clean))]], cut.geometry)
    certificates = []
    for number, (runtime, precision) in enumerate(runtimes, 1):
        if runtime_class(runtime).graph_precision(precision) and not exports.file(runtime, precision).is_file():
            exports.export(runtime, precision, calibrating if precision == "int8" else None)
        graph = exports.graph(runtime, precision)
        some = Faces(cut.pixels[:TIMED], cut.geometry)

        def opened(
            batch: int, runtime: Any = runtime, precision: Any = precision, graph: Any = graph
        ) -> FixedBatchExtractor:
            return open_extractor(
                spec, replace(execution, runtime=runtime, precision=precision, batch=batch), graph=graph
            )

        other = fastest_batch(opened, some, BATCHES[execution.kind])
        speeds = faces_per_second([reference, other], some)
        facts = expected.compared(_Decided(other.embed(cut).vectors, splits, cloaks))
        bound = MOST_ERROR[precision] if most_error is None else most_error
        facts |= {
            "faces_per_second": speeds[1],
            "reference_faces_per_second": speeds[0],
            "batch": other.batch,
            "certified": facts["changed_decisions"] <= most_changed and facts["error"]["1.0"] <= bound,
            "bounds": {"changed_decisions": most_changed, "error": bound},
            "faces": {
                "folder": str(faces),
                "cloaked": {name: str(folder) for name, folder in (cloaked or {}).items()},
                "pictures": len(kept),
                "identities": len({sample.identity for sample in kept}),
                "excluded": [{"path": str(e.path), "reason": e.reason} for e in (*sets.excluded, *faceless, *unpaired)],
                "warnings": list(sets.warnings),
            },
            "detector": None if finder is None else finder.digest,
            "export_sha256": None if graph is None else graph.sha256,
            "environment": environment() | {"reference": reference.what_ran, "extractor": other.what_ran},
        }
        file = exports.certificate(runtime, precision, device)
        write_whole(file, json.dumps(facts, indent=1, ensure_ascii=False))
        certificates.append(Certificate(runtime, precision, file, facts))
        progress("runtimes", number, len(runtimes))
    return certificates


class _Decided:
    """Embeddings of all faces and what they decide: on the controls of every split, and on each cloak's probes."""

    def __init__(self, vectors: F32, splits: Sequence[Split], cloaks: Sequence[str]) -> None:
        self.vectors, self.splits = vectors, splits
        self.clean = [clean_verdicts(vectors, split) for split in splits]
        self.cloaked = {name: [cloaked_verdicts(vectors, split, name) for split in splits] for name in cloaks}

    def compared(self, other: _Decided) -> dict[str, Any]:
        """Return what differs in `other`, these being the reference."""
        before, after = ([*d.clean, *(v for each in d.cloaked.values() for v in each)] for d in (self, other))
        differs = changed(before, after)
        margins = np.concatenate([verdict.margin for verdict in before])
        error = _cosine_error(other.vectors, self.vectors)
        bound = SAFETY * max(distance_error(other.vectors, self.vectors, split) for split in self.splits)
        return {
            "decisions": len(differs),
            "changed_decisions": int(differs.sum()),
            "changed_margins": sorted(round(float(value), 6) for value in np.abs(margins[differs])),
            "identified": _rates(self.clean, other.clean),
            "protection": {
                name: _rates(verdicts, other.cloaked[name], protection=True) for name, verdicts in self.cloaked.items()
            },
            "error": {str(share): float(np.quantile(error, share)) for share in SHARES},
            "distance_bound": bound,
            "settled": self._settled(other, bound),
        }

    def _settled(self, other: _Decided, bound: float) -> dict[str, int]:
        """Return how many controls are decided otherwise once what `bound` leaves open is embedded by the reference."""
        differs, again = 0, set()

        def whole(rows: Any) -> F32:
            again.update(rows.tolist())
            found: F32 = self.vectors[rows]
            return found

        for split, verdicts in zip(self.splits, self.clean, strict=True):
            now = settled(
                clean_rivals(other.vectors, split), bound, split.controls, split.control_labels, split.enrolled,
                split.enrolled_labels, other.vectors, whole,
            )  # fmt: skip
            differs += int((now.identified != verdicts.identified).sum())
        return {"changed_decisions": differs, "embedded_again": len(again), "faces": len(self.vectors)}


def _rates(before: Sequence[Verdicts], after: Sequence[Verdicts], *, protection: bool = False) -> dict[str, Any]:
    """Return the share identified, or protected, by the reference and here, and the difference."""
    hits = [np.concatenate([v.identified for v in each]) for each in (before, after)]
    counts = [int((~each if protection else each).sum()) for each in hits]
    n = len(hits[0])
    rates = [count / n if n else None for count in counts]
    shift = (counts[1] - counts[0]) / n if n else None
    return {"probes": n, "reference": rates[0], "here": rates[1], "shift": shift}


def _cosine_error(vectors: F32, expected: F32) -> F64:
    """Return 1 − cosine per row, from the distance of directions: of nearly equal ones the product has no digits."""
    units = [rows / np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True) for rows in (vectors, expected)]
    error: F64 = np.square(units[0] - units[1]).sum(1) / 2
    return error


def _paths(folders: Mapping[str, str | os.PathLike[str]] | None) -> dict[str, Path]:
    return {name: Path(folder) for name, folder in (folders or {}).items()}

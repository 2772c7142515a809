"""Whether another runtime or precision decides as the reference does, counted on faces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from facecure.certificates.certificate import Bounds, Certificate, Certified, Speed
from facecure.certificates.compare import Decided, compare
from facecure.certificates.tuning import BATCHES, faces_per_second, fastest_batch
from facecure.errors import InputError
from facecure.execution import Execution, Precision
from facecure.extractors.quantize import spread
from facecure.extractors.runtimes import open_extractor, runtime_class
from facecure.pictures.manifest import read_sets
from facecure.protocols.paired import paired_faces
from facecure.protocols.split import make_split
from facecure.runs.environment import environment
from facecure.types import Faces, Named
from facecure.zoo.exports import Exports
from facecure.zoo.find import find_detector, find_spec

SPLITS = 5
TIMED = 256  # faces, at most


def certify(
    extractor: Named,
    faces: Named,
    runtimes: Sequence[tuple[str, Precision]],
    *,
    cloaked: Mapping[str, Named] | None = None,
    unprotected: Mapping[str, Named] | None = None,
    detector: Named | None = None,
    bounds: Bounds = Bounds(),
    seed: int = 0,
    execution: Execution = Execution(),
) -> dict[Path, Certificate]:
    """Return one certificate per runtime and precision, by its file beside the extractor's export.

    The same faces of the folder or manifest `faces` go through the reference, the runtime that the weights need by
    themselves in float32, and through each of `runtimes`, in the batch that is fastest there. With `cloaked` and
    `unprotected`, as for `evaluate`, the people's cloaked pictures are decided on too. A runtime is certified, for this
    kind of processor, if no more than `bounds` changes: 1-NN decisions over five splits, and 1 − cosine of embeddings.
    A missing export is made, one in int8 calibrated on clean pictures of the same faces.

    Raises `InputError` where there are too few people to decide anything, a runtime cannot run, or another process
    writes exports or certificates of this extractor.
    """
    spec = find_spec(extractor)
    reference = open_extractor(spec, replace(execution, runtime=None, precision="fp32"))
    finder = find_detector(detector, spec)
    sets = read_sets(faces, cloaked, unprotected)
    exports, certificates = Exports(spec), {}
    with exports.folder:
        paired = paired_faces(sets, spec.geometry, finder, execution)
        samples, pixels, cloaks = paired.samples, paired.faces.pixels, list(cloaked or {})
        splits = [make_split(samples, cloaks, "corrected", seed, repeat) for repeat in range(SPLITS)]
        if not len(splits[0].controls):
            raise InputError(f"{faces}: certificates need people of two pictures or more, a folder each")
        pictures = Certified(
            folder=str(faces),
            cloaked={name: str(source) for name, source in (cloaked or {}).items()},
            pictures=len(samples),
            identities=len({sample.identity for sample in samples}),
            excluded=paired.excluded,
            warnings=tuple(sets.warnings),
            detector=None if finder is None else finder.digest,
        )
        expected = Decided(reference.embed(paired.faces), splits, cloaks)
        clean = np.array([row for row, sample in enumerate(samples) if not sample.cloak])
        calibrating = Faces(pixels[clean[spread(len(clean))]], spec.geometry)
        timed = Faces(pixels[:TIMED], spec.geometry)
        for number, (runtime, precision) in enumerate(runtimes, 1):
            asked = replace(execution, runtime=runtime, precision=precision)
            inside = runtime_class(runtime).graph_precision(precision)
            if inside and not exports.sha256(runtime, precision):
                exports.export(runtime, precision, calibrating if inside == "int8" else None)
            graph = exports.graph(runtime, precision)
            ways = [replace(asked, batch=batch) for batch in BATCHES[execution.kind]]
            other = fastest_batch((open_extractor(spec, way, graph=graph) for way in ways), timed)
            before, here = faces_per_second([reference, other], timed)
            certificate = Certificate(
                spec.name, runtime, precision, execution.kind,
                differences=compare(expected, Decided(other.embed(paired.faces), splits, cloaks)),
                bounds=bounds.of(precision),
                speed=Speed(before, here, other.batch),
                faces=pictures,
                export_sha256=None if graph is None else graph.sha256,
                environment=environment(),
                reference=reference.what_ran,
                ran=other.what_ran,
            )  # fmt: skip
            certificates[exports.certificates.put(certificate)] = certificate
            execution.progress("runtimes", number, len(runtimes))
    return certificates

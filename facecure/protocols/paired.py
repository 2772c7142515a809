"""Which samples can be placed in a split: a cloaked picture needs its clean one, also after exclusions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from facecure.execution import Execution
from facecure.pictures.detect import Detector
from facecure.pictures.load import stack_faces
from facecure.pictures.manifest import PictureSets
from facecure.types import Exclusion, FaceGeometry, Faces, Sample


@dataclass(frozen=True, slots=True)
class PairedFaces:
    """Samples that can be placed in a split, their `faces` in the same order, and whoever cannot, with the reason."""

    samples: tuple[Sample, ...]
    faces: Faces
    excluded: tuple[Exclusion, ...]


def paired_faces(
    sets: PictureSets, geometry: FaceGeometry, detector: Detector | None, execution: Execution
) -> PairedFaces:
    """Return the faces of all pictures that have one, and whose clean picture has one too."""
    samples, faces, faceless = stack_faces(sets.samples, geometry, detector, execution)
    rows, unpaired = paired_rows(samples, range(len(samples)))
    return PairedFaces(
        tuple(samples[row] for row in rows),
        Faces(faces.pixels[rows], faces.geometry),
        (*sets.excluded, *faceless, *unpaired),
    )


def paired_rows(samples: Sequence[Sample], rows: Sequence[int]) -> tuple[list[int], list[Exclusion]]:
    """Return those of `rows`, indices of `samples`, whose clean picture is among them, and the others with the reason.

    Clean is the unprotected picture where a cloak came with such, else the picture in the clean set.
    """
    kept, excluded = list(rows), []
    for role in ("unprotected", "cloaked"):  # in this order: a cloaked picture may pair with an unprotected one
        present = {(s.role, s.cloak, s.identity, s.key) for s in (samples[row] for row in kept)}
        with_copy = {sample.cloak for sample in samples if sample.role == "unprotected"}
        left = []
        for row in kept:
            sample = samples[row]
            own = ("unprotected", sample.cloak) if role == "cloaked" and sample.cloak in with_copy else ("clean", "")
            if sample.role != role or (*own, sample.identity, sample.key) in present:
                left.append(row)
            else:
                reason = f"unpaired: its clean picture {sample.key!r} is missing or excluded"
                excluded.append(Exclusion(sample.path, reason))
        kept = left
    return kept, excluded

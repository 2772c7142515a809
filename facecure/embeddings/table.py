"""Samples and their embeddings as a run sees them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy.typing as npt

from facecure.errors import DigestMismatch
from facecure.types import Embeddings, Exclusion, FaceGeometry, Faces, Sample


@dataclass(frozen=True, slots=True)
class EmbeddingTable:
    """The `samples` that have embeddings, a row each, with the hash of each one's file, and their embeddings.

    `faces` are the same rows cut in the geometries that were asked for. `contents` says what a row shows, as a hash:
    equal for the same bytes, and for other files with the same pixels.

    `rows` are those that take part. A row keeps its number whatever else is left out: splits and outcomes count in rows
    of the whole table, so that no embedding is copied. `named` are all samples that were asked for; those that do not
    take part are in `excluded` with the reason, and `warnings` say what that does to the rest.
    """

    named: tuple[Sample, ...]
    samples: tuple[Sample, ...]
    sha256: tuple[str, ...]
    contents: tuple[str, ...]
    embeddings: tuple[Embeddings, ...]
    faces: tuple[Faces, ...]
    rows: tuple[int, ...]
    excluded: tuple[Exclusion, ...]
    seconds: dict[str, float]
    warnings: tuple[str, ...] = ()

    @property
    def usable(self) -> list[Sample]:
        """Return the samples that take part, in row order."""
        return [self.samples[row] for row in self.rows]

    def of(self, extractor: str) -> Embeddings:
        """Return the embeddings of the extractor with this digest; raises `DigestMismatch` where there are none."""
        for embeddings in self.embeddings:
            if embeddings.extractor == extractor:
                return embeddings
        raise DigestMismatch(f"the table has no embeddings of the extractor {extractor[:16]}; embed with it")

    def cut(self, geometry: FaceGeometry) -> Faces:
        """Return the faces cut in this geometry; raises `DigestMismatch` where it was not asked for."""
        for faces in self.faces:
            if faces.geometry == geometry:
                return faces
        raise DigestMismatch(f"the table has no faces in the geometry {geometry.digest[:16]}; ask for it")

    def leaving(
        self, rows: Sequence[int], excluded: Sequence[Exclusion], warnings: Sequence[str] = ()
    ) -> EmbeddingTable:
        """Return the table of which only `rows` take part, with further exclusions and what they make to be said."""
        return replace(
            self,
            rows=tuple(rows),
            excluded=(*self.excluded, *excluded),
            warnings=(*self.warnings, *warnings),
        )


def shown(embeddings: Sequence[Embeddings], faces: Sequence[Faces]) -> tuple[str, ...]:
    """Return what each row shows, as a hash of what all extractors and geometries make of it.

    Nothing has to be decoded for it: files with the same pixels have the same bits in every one of these.
    """
    arrays: list[npt.NDArray[Any]] = [*(each.vectors for each in embeddings), *(each.pixels for each in faces)]
    rows = range(len(arrays[0]) if arrays else 0)
    return tuple(hashlib.sha256(b"".join(array[row].tobytes() for array in arrays)).hexdigest() for row in rows)

"""Samples and their embeddings as a run sees them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from facecure.types import Embeddings, Exclusion, Sample


@dataclass(frozen=True, slots=True)
class EmbeddingTable:
    """Usable samples, the hash of each one's content, and their embeddings per extractor, rows in that order."""

    samples: tuple[Sample, ...]
    sha256: tuple[str, ...]
    embeddings: tuple[Embeddings, ...]
    excluded: tuple[Exclusion, ...]
    seconds: dict[str, float]


def contents(table: EmbeddingTable) -> list[str]:
    """Return what each row shows, as a hash: equal for the same bytes, and for other files with the same pixels.

    Nothing has to be decoded for it: those have the same bits in every embedding.
    """
    return [
        hashlib.sha256(b"".join(each.vectors[row].tobytes() for each in table.embeddings)).hexdigest()
        for row in range(len(table.samples))
    ]

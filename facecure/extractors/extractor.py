"""What anything has to have that embeds faces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from facecure.extractors.spec import ExtractorSpec
from facecure.types import Embeddings, Faces


class Extractor(Protocol):
    """Anything that embeds faces; `digest` names what its embeddings may be compared with.

    `batch` is the number of faces that it takes in one pass. One that also has a `depth` may have so many passes under
    way at once.
    """

    spec: ExtractorSpec
    digest: str
    batch: int

    @property
    def what_ran(self) -> dict[str, Any]:
        """Return name, digests, runtime, precision, device and provenance for the report."""

    def embed(self, faces: Faces) -> Embeddings:
        """Return one embedding per face."""


def digest_in_float32(extractor: Extractor) -> str:
    """Return the digest in float32, by which surrogates and trainings are named, whatever the precision here."""
    sha256 = extractor.what_ran.get("weights_sha256")
    return extractor.digest if sha256 is None else extractor.spec.digest(sha256)


def unproven(extractors: Sequence[Extractor]) -> list[str]:
    """Return a warning per extractor whose weights nobody says to be the published ones."""
    warnings = [
        f"extractor {e.spec.name}: its spec gives no sha256, so nothing proves that {e.spec.weights.name} is the "
        f"published file (its sha256 is {e.what_ran.get('weights_sha256', 'unknown')})"
        for e in extractors
        if e.spec.sha256 is None
    ]
    return warnings + [
        f"extractor {e.spec.name}: its publisher gives no checksum; {e.spec.weights.name} is the file that came here "
        f"first ({e.spec.sha256})"
        for e in extractors
        if e.spec.sha256_from == "first use"
    ]

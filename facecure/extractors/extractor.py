"""What anything has to have that embeds faces."""

from __future__ import annotations

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

"""Pictures in 16 × 16 greys: the same photo in two files is recognised by them, whatever extractors make of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from facecure.extractors.spec import ExtractorSpec
from facecure.types import Embeddings, FaceGeometry, Faces

SIDE = 16


class Thumbnail:
    """An extractor whose embedding is the whole picture, small: float32 (N, 256), greys 0…255.

    So it goes the way of all embeddings: made in the same pass, kept beside them. No spec can have its name.
    """

    spec = ExtractorSpec(
        name="picture thumbnail",
        weights=Path("none"),
        sha256=None,
        geometry=FaceGeometry(SIDE, SIDE),
        colour="RGB",
        layout="NHWC",
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        embedding_size=SIDE * SIDE,
        normalise=False,
    )
    digest = spec.digest("greys")
    batch = 1

    @property
    def what_ran(self) -> dict[str, Any]:
        """Return its name and digest."""
        return {"name": self.spec.name, "digest": self.digest}

    def embed(self, faces: Faces) -> Embeddings:
        """Return the mean of the three channels, pixel after pixel."""
        greys = faces.pixels.mean(axis=3, dtype=np.float32)
        return Embeddings(greys.reshape(len(greys), SIDE * SIDE), self.digest)

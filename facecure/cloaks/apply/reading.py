"""Samples as the faces that the cloaks of a run work on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from facecure.cloaks.apply.fitting import Fitting, SourceFace
from facecure.cloaks.apply.output import CloakOutput
from facecure.pictures.detect import Detector
from facecure.pictures.load import Loaded, load_faces
from facecure.types import Exclusion, Sample

_SMALLEST = 32  # side of a photo that can hold a face


class FaceReader:
    """Reads samples once for all cloaks of a mix."""

    def __init__(
        self, fittings: Sequence[Fitting], detector: Detector | None, output: CloakOutput, threads: int
    ) -> None:
        self._fittings, self._detector, self._output, self._threads = fittings, detector, output, threads

    def read(
        self, samples: Sequence[Sample], known: Callable[[Sample, str], bool] = lambda sample, sha256: False
    ) -> Iterator[Loaded]:
        """Yield samples decoded, those without faces for which `known(sample, sha256)` holds."""
        return load_faces(samples, [fit.geometry for fit in self._fittings], self._detector, self._threads, known)

    def faces(self, fitting: Fitting, loaded: Loaded) -> list[SourceFace] | Exclusion:
        """Return a sample's faces for one of the cloaks, the main one first, or why it has none."""
        if loaded.excluded is not None:
            return loaded.excluded
        assert loaded.faces is not None
        cut = loaded.faces[self._fittings.index(fitting)]
        reason = self._output.oversized(cut)
        if min(cut.shape[:2]) < _SMALLEST:
            reason = f"too small: {cut.shape[1]}×{cut.shape[0]} pixels"
        if reason:
            return Exclusion(loaded.sample.path, reason)
        try:
            return fitting.faces(loaded, cut)
        except np.linalg.LinAlgError:
            return Exclusion(loaded.sample.path, "no face: its landmarks fall into one point")

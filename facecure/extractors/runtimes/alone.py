"""Whether a network embeds a face by itself: alone, padded and among others it must be the same."""

from __future__ import annotations

import numpy as np

from facecure.errors import FacecureError, InputError
from facecure.extractors.runtimes.fixed_batch import FixedBatchExtractor
from facecure.types import Faces

# of the embedding's length; one batch size computes the same sums in any row, so this is room for other kernels only
_TOLERANCE = {"fp32": 1e-4}
_LOWER = 0.02
_CHECKED: set[tuple[str, str, str, bool]] = set()


def check_alone(extractor: FixedBatchExtractor) -> None:
    """Raise `InputError` unless one face has one embedding, whatever stands in the other rows of its pass.

    Two passes of the extractor's batch over noise; once per digest, runtime and precision in a process. An
    embedding depends on its neighbours in a network that normalises over its batch. It is an error too where the
    runtime cannot run such a batch at all.
    """
    ran = extractor.what_ran
    key = (extractor.digest, str(ran["runtime"]), extractor.precision, extractor.batch > 1)
    if key in _CHECKED:
        return
    spec, rows = extractor.spec, extractor.batch
    shape = (rows, spec.geometry.height, spec.geometry.width, 3)
    noise = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    try:
        alone = extractor.returned(Faces(noise[-1:], spec.geometry))[0]  # in the first row, padding after it
        among = extractor.returned(Faces(noise, spec.geometry))[-1]
    except (FacecureError, MemoryError):
        raise
    except Exception as error:  # what runtimes raise shares no base class
        raise InputError(
            f"extractor {spec.name}: {ran['runtime']} cannot run {spec.weights.name} on {rows} faces at once: {error}. "
            "A batch that is fixed inside the graph has to be that of its input, or open; export it again"
        ) from error
    length, change = (float(np.linalg.norm(each.astype(np.float64))) for each in (alone, alone - among))
    alike = np.array_equal(alone, among, equal_nan=True)  # whatever is no embedding is excluded later, face by face
    if not alike and not change <= _TOLERANCE.get(extractor.precision, _LOWER) * length:
        raise InputError(
            f"extractor {spec.name}: what it returns for a face changes by {change:.2g}, at a length of {length:.2g}, "
            f"with the faces beside it in a batch of {rows}, so it is not that of the face; export the network in "
            "evaluation mode, with the batch as first dimension of input and output"
        )
    _CHECKED.add(key)

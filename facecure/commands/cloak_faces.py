"""Cloaks in memory: arrays in, arrays out."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from facecure.cloaks.apply.batch import FaceBatch, cloak_batch, seed_of
from facecure.cloaks.apply.fitting import Fitting, batch, fitting_of
from facecure.cloaks.apply.run import BATCH
from facecure.cloaks.options import CloakOptions
from facecure.cloaks.registry import parse
from facecure.errors import InputError
from facecure.execution import Execution, torch_threads
from facecure.types import F64, U8
from facecure.zoo.surrogates import NamedSurrogate, find_options, find_surrogates


def cloak_faces(
    pixels: U8,
    name: str,
    surrogates: Sequence[NamedSurrogate],
    *,
    landmarks: F64 | None = None,
    targets: U8 | None = None,
    target_landmarks: F64 | None = None,
    seeds: Sequence[int] | None = None,
    options: CloakOptions = CloakOptions(),
    execution: Execution = Execution(),
) -> U8:
    """Return cloaked faces, uint8 (N, H, W, 3) RGB, of uint8 faces of that shape in the cloak's own size.

    `name` is that of a registered cloak with its mode; `surrogates` are as in `facecure.cloak`, or opened ones.
    `landmarks` float64 (N, 5, 2), pixel indices, are needed where a surrogate sees faces aligned: under `corrected`, by
    specs that align. For a cloak that aims `targets` are other people's faces, one for each, in the shape of `pixels`,
    with their landmarks. `seeds`, one per face, are those of starts; without them each is drawn from `options.seed` and
    the face's pixels. A face's cloak does not depend on the others, unless a reference batch couples them: then the
    faces are cut into batches of its size in the order given. Raises `InputError` for what does not fit.

        faces = np.stack([np.array(Image.open(file).resize((112, 112))) for file in files])
        cloaked = fc.cloak_faces(faces, "fawkes-v1.0:high", ["fawkes-extractor-2"])
    """
    (part, *others) = parse(name)
    if others:
        raise InputError(f"a mix cloaks each picture of a folder by one of several; name one cloak, not {name!r}")
    options = find_options(name, options, execution)
    fitting = fitting_of(part, find_surrogates(surrogates, execution), options)
    cloak = fitting.cloak
    faces = _batch(fitting, "pixels", pixels, landmarks)
    aims = None
    if cloak.aims:
        if targets is None or targets.shape != pixels.shape:
            raise InputError(f"{part} aims at other people's faces: targets must be uint8 {pixels.shape}, one for each")
        aims = _batch(fitting, "targets", targets, target_landmarks)
    if seeds is None:
        seeds = [seed_of(options.seed, "start", hashlib.sha256(face.tobytes()).hexdigest()) for face in pixels]
    if len(seeds) != len(pixels):
        raise InputError(f"seeds are one per face, {len(pixels)}, not {len(seeds)}")
    size = options.reference_batch or execution.batch or (BATCH if cloak.size else 1)
    cloaked = np.empty_like(pixels)
    with torch_threads(execution.threads):
        for start in range(0, len(pixels), size):
            rows = slice(start, start + size)
            aimed = None if aims is None else aims[rows]
            cloaked[rows] = cloak_batch(cloak, faces[rows], seeds[rows], aimed)
            execution.progress("cloaked", min(start + size, len(pixels)), len(pixels))
    return cloaked


def _batch(fitting: Fitting, what: str, pixels: U8, landmarks: F64 | None) -> FaceBatch:
    """Return faces and where surrogates look in them; raises `InputError` for other shapes than promised."""
    side = fitting.cloak.size
    shape = (len(pixels), *((side, side) if side else pixels.shape[1:3]), 3)
    if pixels.dtype != np.uint8 or pixels.shape != shape:
        size = f"{side}, {side}" if side else "H, W"
        raise InputError(
            f"{what} of {fitting.part} must be uint8 (N, {size}, 3) RGB, not {pixels.dtype} {pixels.shape}"
        )
    if not fitting.needs_landmarks:
        return batch(pixels, [fitting.matrices(None)] * len(pixels))
    if landmarks is None or landmarks.shape != (len(pixels), 5, 2):
        raise InputError(f"a surrogate sees faces aligned: landmarks of {what} must be float64 ({len(pixels)}, 5, 2)")
    return batch(pixels, [fitting.matrices(points) for points in landmarks])

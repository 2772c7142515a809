"""Made-up people for benchmarks of recognisers, and the counts by which outcomes are compared."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from facecure.protocols.split import Split, make_split
from facecure.types import F32, Outcome, Sample


def clustered_people(
    identities: int, pictures: int, size: int, *, noise: float, away: float, cloak_noise: float
) -> tuple[F32, Split]:
    """Return unit vectors and a split with one cloak, in which cloaks, probes and other people all err now and then.

    A picture is its person's centre and `noise`; a cloaked one is moved by the share `away` towards somebody else's
    centre, and by `cloak_noise`. All in units of the centres' own spread.
    """
    rng = np.random.default_rng(2021)
    centres, shape = rng.standard_normal((identities, size)), (identities, pictures, size)
    clean = centres[:, None] + noise * rng.standard_normal(shape)
    moved = away * (centres[rng.permutation(identities)] - centres)
    cloaked = clean + moved[:, None] + cloak_noise * rng.standard_normal(shape)
    vectors = np.concatenate([clean.reshape(-1, size), cloaked.reshape(-1, size)])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    samples = [
        Sample(f"{i:03}", Path(f"{k:03}"), f"{k:03}", role, cloak)
        for role, cloak in (("clean", ""), ("cloaked", "cloak"))
        for i in range(identities)
        for k in range(pictures)
    ]
    return vectors.astype(np.float32), make_split(samples, ["cloak"], "corrected", 0, 0)


def counts(outcome: Outcome) -> tuple[int, ...]:
    """Return identified, clean identified, enrolled identified and control errors."""
    return outcome.identified, outcome.clean_identified, outcome.enrolled_identified, outcome.control_errors

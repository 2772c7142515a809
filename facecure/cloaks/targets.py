"""Who Fawkes v0.3 pretends a person to be (docs/protocol.md §4, Target selection)."""

from __future__ import annotations

import random

import numpy as np

from facecure.errors import InputError
from facecure.types import F32

_FARTHEST = 20
PICTURES = 10  # of a target that are used, at most


def choose_target(own: F32, candidates: F32, seed: int) -> int:
    """Return one of the 20 candidates farthest from a person, drawn by `seed`.

    `own` float32 (n, D) are the person's embeddings, `candidates` float32 (C, D) the mean embedding of each candidate.
    A candidate's distance is that to the nearest of the person's pictures. Raises `InputError` without candidates.
    """
    if not len(candidates):
        raise InputError("there is nobody among the targets; name a folder with other people's pictures")
    difference = own[:, None].astype(np.float64) - candidates[None]
    nearest = np.sqrt(np.square(difference).sum(axis=2)).min(axis=0)
    farthest = np.argsort(-nearest, kind="stable")[:_FARTHEST]
    return int(random.Random(seed).choice(farthest.tolist()))


def assign_targets(count: int, available: int, seed: int) -> list[int]:
    """Return which of the target's `available` pictures each of `count` pictures aims at.

    The list of pictures is doubled until it is long enough, then drawn from without replacement.
    """
    pictures = list(range(available))
    while len(pictures) < count:
        pictures += pictures
    return random.Random(seed).sample(pictures, count)

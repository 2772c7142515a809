"""What looks wrong about the pictures of a run and takes part all the same: it is told, and people decide."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from facecure.types import F32, F64, I64, Bool, Sample, Suspect

# Correlation of 16 × 16 greys. The same photo re-encoded down to JPEG quality 30 or scaled to a quarter keeps 0.997 or
# more; of 23,713 pairs of one person in LFW, FaceScrub and Glint360K 18 have 0.99 or more, each seen to be one photo.
NEAR = 0.99
_BLOCK = 4096  # distractors compared at a time


def alike_names(samples: Sequence[Sample]) -> list[Suspect]:
    """Return the first picture of each identity whose name is another one's but for case, accents or separators."""
    first: dict[str, Sample] = {}
    for sample in samples:
        if sample.role in ("clean", "distractor"):
            first.setdefault(sample.identity, sample)
    groups: dict[str, list[str]] = defaultdict(list)
    for identity in first:
        groups[plain_name(identity)].append(identity)
    return [
        Suspect(
            first[name].path, f"name: {name!r} is spelt like {group[0]!r}; if they are one person, put them together"
        )
        for group in groups.values()
        for name in group[1:]
    ]


def plain_name(identity: str) -> str:
    """Return a name without case, accents, Unicode forms and separators; between digits a separator counts."""
    letters = [c for c in unicodedata.normalize("NFKD", identity) if not unicodedata.combining(c)]
    name = unicodedata.normalize("NFKC", "".join(letters)).casefold()
    return re.sub(r"(?<!\d)[\W_]+|[\W_]+(?!\d)", "", name) or identity


def near_duplicates(samples: Sequence[Sample], thumbnails: F32) -> list[Suspect]:
    """Return the clean pictures that look like an earlier one of the same person, whatever their bytes.

    `thumbnails` float32 (N, D) are small greys of the samples' pictures. Where one is a probe and the other one's cloak
    is enrolled, the probe meets its own photo.
    """
    people: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for row, sample in enumerate(samples):
        if sample.role in ("clean", "unprotected"):
            people[sample.role, sample.cloak, sample.identity].append(row)
    found = []
    for rows in people.values():
        centred = thumbnails[rows].astype(np.float64)
        centred -= centred.mean(axis=1, keepdims=True)
        length = np.linalg.norm(centred, axis=1, keepdims=True)
        units = np.divide(centred, length, out=np.zeros_like(centred), where=length > 0)
        later, earlier = np.nonzero(np.tril(units @ units.T >= NEAR, -1))
        for one, other in zip(*(each[np.unique(later, return_index=True)[1]] for each in (later, earlier)), strict=True):
            name = samples[rows[other]].path.name
            found.append(Suspect(samples[rows[one]].path, f"near-duplicate: looks like {name} of the same person"))
    return found


def look_alikes(samples: Sequence[Sample], embeddings: Sequence[F32]) -> list[Suspect]:
    """Return the first picture of each distractor who is probably a protected person under another name.

    A distractor's picture resembles a person more than their own ones do where its mean squared distance to the
    person's clean pictures is less than what half of these have to the rest. It counts where every extractor says so.
    """
    protected = {sample.identity for sample in samples if sample.role == "cloaked"}
    own: dict[str, list[int]] = defaultdict(list)
    for row, sample in enumerate(samples):
        if sample.role == "clean" and sample.identity in protected:
            own[sample.identity].append(row)
    own = {name: rows for name, rows in own.items() if len(rows) > 2}  # two pictures have one distance between them
    strangers = np.array([row for row, sample in enumerate(samples) if sample.role == "distractor"], np.int64)
    if not own or not len(strangers):
        return []
    resembles = np.ones((len(strangers), len(own)), np.bool_)
    for vectors in embeddings:
        for begin in range(0, len(strangers), _BLOCK):
            some = strangers[begin : begin + _BLOCK]
            resembles[begin : begin + _BLOCK] &= _nearer(vectors, some, [np.array(rows) for rows in own.values()])
    groups: dict[tuple[str, str], list[int]] = defaultdict(list)
    for stranger, person in zip(*np.nonzero(resembles), strict=True):
        row = int(strangers[stranger])
        groups[samples[row].identity, list(own)[person]].append(row)
    return [
        Suspect(
            samples[rows[0]].path,
            f"look-alike: {len(rows)} picture(s) of distractor {stranger!r} resemble {person!r} more than half of that "
            "person's own pictures do; if they are one person, take them out of the distractors",
        )
        for (stranger, person), rows in groups.items()
    ]


def _nearer(vectors: F32, strangers: I64, people: Sequence[I64]) -> Bool:
    """Return bool (strangers, people): is a stranger nearer to a person's pictures than half of these are?

    The mean squared distance to several vectors is |v|² − 2 v · mean + mean |·|²: one product with the people's means.
    """
    means = np.stack([vectors[rows].mean(axis=0, dtype=np.float64) for rows in people])
    squares = np.array([np.square(vectors[rows], dtype=np.float64).sum(1).mean() for rows in people])

    def distances(rows: I64, to: slice) -> F64:
        some = vectors[rows].astype(np.float64)
        found: F64 = np.square(some).sum(1)[:, None] - 2 * some @ means[to].T + squares[to]
        return found

    bounds = [
        np.median(distances(rows, slice(i, i + 1))) * len(rows) / (len(rows) - 1) for i, rows in enumerate(people)
    ]
    return np.asarray(distances(strangers, slice(None)) < np.array(bounds))

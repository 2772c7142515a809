"""What looks wrong about the pictures of a run and takes part all the same: it is told, and people decide."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from facecure.types import F32, F64, I64, Bool, Sample, Suspect

# Correlation of 16 × 16 greys. The same photo re-encoded down to JPEG quality 30 or scaled to a quarter keeps 0.997 or
# more; of 23,713 pairs of one person in LFW, FaceScrub and Glint360K 18 have 0.99 or more, each seen to be one photo.
NEAR = 0.99
NAMES = 2  # more people who resemble one person than this are no other names of theirs: the extractors cannot tell
_BLOCK = 4096  # distractors compared at a time

_EFFECTS = {
    "name": "one person under two names is an impostor to themselves, which looks like protection",
    "look-alike": "one person under two names is an impostor to themselves, which looks like protection",
    "near-duplicate": "where one is searched and the cloak of the other enrolled, a probe meets its own photo; keep "
    "one of each",
    "duplicate": "facecure-2021 counts files, so a probe may meet its own photo and so many probes say less than it "
    "seems; keep one of each",
    "uncloaked": "they are counted as they were given, so the rate is that of a person of whom they leaked; the row "
    "without them has the cloak's own",
}


def find_suspects(
    named: Sequence[Sample], usable: Sequence[Sample], shown: Sequence[str], uncloaked: Mapping[str, Sequence[int]],
    embeddings: Sequence[F32], thumbnails: F32, rows: Sequence[int],
) -> list[Suspect]:  # fmt: skip
    """Return all there are: among the samples `named`, and among the `usable` ones, whose contents are `shown`.

    `uncloaked` are indices of these by cloak; `rows` says where each one lies in `embeddings` and `thumbnails`.
    """
    bare = [
        Suspect(usable[i].path, f"uncloaked: given as {cloak}, but it is the person's clean picture")
        for cloak, group in uncloaked.items()
        for i in group
    ]
    return [
        *bare,
        *alike_names(named),
        *near_duplicates(usable, shown, thumbnails[rows]),
        *look_alikes(usable, embeddings, rows),
    ]


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


def near_duplicates(samples: Sequence[Sample], shown: Sequence[str], thumbnails: F32) -> list[Suspect]:
    """Return the clean pictures that look like an earlier one of the same person, or show the same content.

    `shown` is each sample's content, `thumbnails` float32 (N, D) are small greys of its picture. Where one is a probe
    and the other one's cloak is enrolled, the probe meets its own photo.
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
        same = np.array([shown[row] for row in rows])
        near = np.tril((units @ units.T >= NEAR) | (same[:, None] == same), -1)
        for one in np.flatnonzero(near.any(axis=1)):
            other = int(near[one].argmax())
            name = samples[rows[other]].path.name
            reason = (
                f"duplicate: the same picture as {name}"
                if same[one] == same[other]
                else (f"near-duplicate: looks like {name} of the same person")
            )
            found.append(Suspect(samples[rows[one]].path, reason))
    return found


def look_alikes(samples: Sequence[Sample], embeddings: Sequence[F32], rows: Sequence[int]) -> list[Suspect]:
    """Return the first picture of each distractor who is probably a protected person under another name.

    `embeddings` float32 (N, D) hold the samples' at `rows`.

    A distractor's picture resembles a person more than their own ones do where its mean squared distance to the
    person's clean pictures is less than what half of these have to the rest. It counts where every extractor says so,
    of at most `NAMES` people. In LFW, FaceScrub and Glint360K, each person's pictures halved under two names, three
    MobileFaceNets together find 104 of 125 second names and none of 78,500 pairs of different people.
    """
    protected = {sample.identity for sample in samples if sample.role == "cloaked"}
    own: dict[str, list[int]] = defaultdict(list)
    for row, sample in zip(rows, samples, strict=True):
        if sample.role == "clean" and sample.identity in protected:
            own[sample.identity].append(row)
    own = {name: some for name, some in own.items() if len(some) > 2}  # two pictures have one distance between them
    pictures = [sample for sample in samples if sample.role == "distractor"]
    strangers = np.array([row for row, s in zip(rows, samples, strict=True) if s.role == "distractor"], np.int64)
    if not own or not len(strangers):
        return []
    resembles = np.ones((len(strangers), len(own)), np.bool_)
    for vectors in embeddings:
        for begin in range(0, len(strangers), _BLOCK):
            some = strangers[begin : begin + _BLOCK]
            resembles[begin : begin + _BLOCK] &= _nearer(vectors, some, [np.array(each) for each in own.values()])
    found = []
    for person, column in zip(own, resembles.T, strict=True):
        names: dict[str, list[Sample]] = defaultdict(list)
        for i in np.flatnonzero(column):
            names[pictures[i].identity].append(pictures[i])
        found += [
            Suspect(
                alike[0].path,
                f"look-alike: {len(alike)} picture(s) of distractor {name!r} resemble {person!r} more than half of "
                "that person's own pictures do; if they are one person, take them out of the distractors",
            )
            for name, alike in names.items()
            if len(names) <= NAMES
        ]
    return found


def told(suspects: Sequence[Suspect]) -> list[str]:
    """Return one warning per kind: how many there are, an example, and what they do to a rate."""
    kinds: dict[str, list[Suspect]] = defaultdict(list)
    for suspect in suspects:
        kinds[suspect.reason.partition(":")[0]].append(suspect)
    return [
        f"{len(group)} suspect{'s' * (len(group) > 1)} ({kind}), such as {group[0].path}: {_EFFECTS[kind]}"
        for kind, group in kinds.items()
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

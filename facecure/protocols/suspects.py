"""What looks wrong about the pictures of a run and takes part all the same: it is told, and people decide."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from facecure.embeddings.table import EmbeddingTable
from facecure.types import F32, F64, I64, Bool, Embeddings, Sample, Suspect

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
    table: EmbeddingTable, uncloaked: Mapping[str, Sequence[int]], extractors: Sequence[str], thumbnail: str
) -> list[Suspect]:
    """Return all there are among the samples that were named, and among the rows that take part.

    `uncloaked` are rows by cloak. `extractors` are the digests of those whose embeddings say who looks alike,
    `thumbnail` is that of the pictures' small greys.
    """
    bare = [
        Suspect(table.samples[row].path, f"uncloaked: given as {cloak}, but it is the person's clean picture")
        for cloak, rows in uncloaked.items()
        for row in rows
    ]
    return [
        *bare,
        *alike_names(table.named),
        *near_duplicates(table, table.of(thumbnail)),
        *look_alikes(table, [table.of(extractor) for extractor in extractors]),
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


def near_duplicates(table: EmbeddingTable, thumbnails: Embeddings) -> list[Suspect]:
    """Return the clean pictures that look like an earlier one of the same person, or show the same content.

    `thumbnails` are small greys of the table's pictures. Where one is a probe and the other one's cloak is enrolled,
    the probe meets its own photo.
    """
    people: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for row in table.rows:
        sample = table.samples[row]
        if sample.role in ("clean", "unprotected"):
            people[sample.role, sample.cloak, sample.identity].append(row)
    suspects = []
    for rows in people.values():
        centred = thumbnails.vectors[rows].astype(np.float64)
        centred -= centred.mean(axis=1, keepdims=True)
        length = np.linalg.norm(centred, axis=1, keepdims=True)
        units = np.divide(centred, length, out=np.zeros_like(centred), where=length > 0)
        same = np.array([table.contents[row] for row in rows])
        near = np.tril((units @ units.T >= NEAR) | (same[:, None] == same), -1)
        for later in np.flatnonzero(near.any(axis=1)):
            earlier = int(near[later].argmax())
            name = table.samples[rows[earlier]].path.name
            reason = (
                f"duplicate: the same picture as {name}"
                if same[later] == same[earlier]
                else (f"near-duplicate: looks like {name} of the same person")
            )
            suspects.append(Suspect(table.samples[rows[later]].path, reason))
    return suspects


def look_alikes(table: EmbeddingTable, embeddings: Sequence[Embeddings]) -> list[Suspect]:
    """Return the first picture of each distractor who is probably a protected person under another name.

    A distractor's picture resembles a person more than their own ones do where its mean squared distance to the
    person's clean pictures is less than what half of these have to the rest. It counts where all of `embeddings` say
    so, of at most `NAMES` people. In LFW, FaceScrub and Glint360K, each person's pictures halved under two names, three
    MobileFaceNets together find 104 of 125 second names and none of 78,500 pairs of different people.
    """
    protected = {sample.identity for sample in table.usable if sample.role == "cloaked"}
    clean: dict[str, list[int]] = defaultdict(list)
    strangers = []
    for row in table.rows:
        sample = table.samples[row]
        if sample.role == "distractor":
            strangers.append(row)
        elif sample.role == "clean" and sample.identity in protected:
            clean[sample.identity].append(row)
    people = {name: np.array(rows) for name, rows in clean.items() if len(rows) > 2}  # two have one distance
    if not people or not strangers or not embeddings:
        return []
    resembles = np.ones((len(strangers), len(people)), np.bool_)
    for each in embeddings:
        for begin in range(0, len(strangers), _BLOCK):
            block = np.array(strangers[begin : begin + _BLOCK])
            resembles[begin : begin + _BLOCK] &= _nearer(each.vectors, block, list(people.values()))
    suspects = []
    for person, column in zip(people, resembles.T, strict=True):
        names: dict[str, list[Sample]] = defaultdict(list)
        for i in np.flatnonzero(column):
            names[table.samples[strangers[i]].identity].append(table.samples[strangers[i]])
        suspects += [
            Suspect(
                alike[0].path,
                f"look-alike: {len(alike)} picture(s) of distractor {name!r} resemble {person!r} more than half of "
                "that person's own pictures do; if they are one person, take them out of the distractors",
            )
            for name, alike in names.items()
            if len(names) <= NAMES
        ]
    return suspects


def warnings_of(suspects: Sequence[Suspect]) -> list[str]:
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
        block = vectors[rows].astype(np.float64)
        squared: F64 = np.square(block).sum(1)[:, None] - 2 * block @ means[to].T + squares[to]
        return squared

    bounds = [
        np.median(distances(rows, slice(i, i + 1))) * len(rows) / (len(rows) - 1) for i, rows in enumerate(people)
    ]
    return np.asarray(distances(strangers, slice(None)) < np.array(bounds))

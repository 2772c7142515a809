"""What differs between two embeddings of the same faces: decisions, rates, and the embeddings themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from facecure.certificates.settle import SAFETY, settled
from facecure.certificates.verdicts import (
    Verdicts,
    changed,
    clean_rivals,
    clean_verdicts,
    cloaked_verdicts,
    distance_error,
)
from facecure.protocols.split import Split
from facecure.types import F32, F64, I64, Embeddings

SHARES = (0.5, 0.9, 0.99, 1.0)


@dataclass(frozen=True, slots=True)
class Shift:
    """How many of `probes` are identified, or protected, by the reference and `here`."""

    probes: int
    reference: int
    here: int

    @property
    def rate(self) -> float:
        """The reference's rate; not a number without probes."""
        return self.reference / self.probes if self.probes else float("nan")

    @property
    def shift(self) -> float:
        """By how much the rate is larger here."""
        return (self.here - self.reference) / self.probes if self.probes else float("nan")


@dataclass(frozen=True, slots=True)
class Differences:
    """What another runtime or precision changes.

    Of `decisions`, 1-NN searches over all splits, `changed` have another answer, by `margins` (differences of
    distances) in the reference. `identified` counts clean probes, `protected` each cloak's. `error` has quantiles of
    1 − cosine by their share ("1.0" the largest), `distance_bound` is what any distance is counted on to differ at
    most. Where that leaves a decision open, faces are embedded again by the reference: `embedded_again` of `faces`,
    after which `settled_changed` decisions on clean probes still differ.
    """

    decisions: int
    changed: int
    margins: tuple[float, ...]
    identified: Shift
    protected: dict[str, Shift]
    error: dict[str, float]
    distance_bound: float
    settled_changed: int
    embedded_again: int
    faces: int

    @property
    def largest_error(self) -> float:
        """The largest 1 − cosine of an embedding."""
        return self.error["1.0"]


class Decided:
    """Embeddings of all faces and what they decide: on the controls of every split, and on each cloak's probes."""

    def __init__(self, embeddings: Embeddings, splits: Sequence[Split], cloaks: Sequence[str]) -> None:
        self.embeddings, self.splits = embeddings, splits
        self.clean = [clean_verdicts(embeddings, split) for split in splits]
        self.cloaked = {name: [cloaked_verdicts(embeddings, split, name) for split in splits] for name in cloaks}

    @property
    def verdicts(self) -> list[Verdicts]:
        """All verdicts, in one order."""
        return [*self.clean, *(verdicts for each in self.cloaked.values() for verdicts in each)]


def compare(reference: Decided, other: Decided) -> Differences:
    """Return what differs in `other`: of the same faces over the same splits, by another digest on purpose."""
    differs = changed(reference.verdicts, other.verdicts)
    margins = np.concatenate([verdicts.margin for verdicts in reference.verdicts])
    error = cosine_error(other.embeddings.vectors, reference.embeddings.vectors)
    bound = SAFETY * max(distance_error(other.embeddings, reference.embeddings, split) for split in reference.splits)
    settled_changed, embedded_again = _settled(reference, other, bound)
    return Differences(
        decisions=len(differs),
        changed=int(differs.sum()),
        margins=tuple(sorted(round(float(value), 6) for value in np.abs(margins[differs]))),
        identified=_shift(reference.clean, other.clean),
        protected={
            name: _shift(verdicts, other.cloaked[name], protected=True) for name, verdicts in reference.cloaked.items()
        },
        error={str(share): float(np.quantile(error, share)) for share in SHARES},
        distance_bound=bound,
        settled_changed=settled_changed,
        embedded_again=embedded_again,
        faces=len(reference.embeddings.vectors),
    )


def cosine_error(vectors: F32, expected: F32) -> F64:
    """Return 1 − cosine per row, from the distance of directions: of nearly equal ones the product has no digits."""
    units = [rows / np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True) for rows in (vectors, expected)]
    error: F64 = np.square(units[0] - units[1]).sum(1) / 2
    return error


def _settled(reference: Decided, other: Decided, bound: float) -> tuple[int, int]:
    """Return how many controls still differ once the reference embeds what `bound` leaves open, and how many faces."""
    differs, again = 0, set[int]()

    def whole(rows: I64) -> F32:
        again.update(rows.tolist())
        vectors: F32 = reference.embeddings.vectors[rows]
        return vectors

    for split, verdicts in zip(reference.splits, reference.clean, strict=True):
        now = settled(
            clean_rivals(other.embeddings, split), bound, split.controls, split.control_labels, split.enrolled,
            split.enrolled_labels, other.embeddings.vectors, whole,
        )  # fmt: skip
        differs += int((now.identified != verdicts.identified).sum())
    return differs, len(again)


def _shift(before: Sequence[Verdicts], after: Sequence[Verdicts], *, protected: bool = False) -> Shift:
    """Return the probes identified, or protected, over all splits."""
    hits = [np.concatenate([verdicts.identified != protected for verdicts in each]) for each in (before, after)]
    return Shift(len(hits[0]), *(int(each.sum()) for each in hits))

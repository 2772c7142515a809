"""All protected identities under all cloaks in one pass (docs/architecture.md, "The population protocol").

The released code rebuilds the gallery and refits its classifier for every protected identity. For 1-NN nothing needs
rebuilding: a probe's nearest impostor does not depend on the cloak, its nearest cloaked mate concerns the person's own
rows only, and other people's probes need their own row, their two nearest impostor identities and the distance to each
cloaked set. The outcomes are those of the rebuild, row order and ties included.

Gallery of a protected identity, in row order: other people's enrolled rows, distractors, own cloaked rows. The winner
is the lexicographic minimum of (squared float64 distance, row).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from facecure.protocols.split import Protected, Split
from facecure.recognisers.recogniser import Context, Facts, Recogniser
from facecure.search.bounds import Rows
from facecure.search.exact import DISTRACTOR, Nearest, Rivals
from facecure.search.masked import closer, mates, rivals
from facecure.types import F32, F64, I64, Bool, Embeddings, Outcome

_SUMMED = 64  # values of a vector: they tell nearly all apart, and vectors with one sum are compared whole


class NearestNeighbour(Recogniser):
    """1-NN on Euclidean distance, all protected identities in one pass."""

    name = "nn"
    words = "1-NN"

    def __init__(self, embeddings: Embeddings, device: str = "cpu") -> None:
        self._embeddings, self._device = embeddings, device

    @classmethod
    def of(cls, context: Context) -> NearestNeighbour:
        """Return 1-NN on the extractor's embeddings."""
        return cls(context.table.of(context.extractor.digest), context.execution.device)

    @property
    def facts(self) -> Facts:
        """Return the name: there is nothing else to say."""
        return Facts(self.name, self.words)

    def __call__(self, split: Split) -> dict[str, list[Outcome]]:
        """Return outcomes per cloak."""
        return population(self._embeddings, split, device=self._device)


def population(embeddings: Embeddings, split: Split, device: str = "cpu") -> dict[str, list[Outcome]]:
    """Return per cloak one `Outcome` per protected identity, by 1-NN on Euclidean distance.

    `embeddings` are those of the table that the split's rows index; the outcomes
    do not depend on `device`, where the rough scan runs: "cpu" or torch's name of another one.
    """
    vectors = embeddings.vectors
    gallery = np.concatenate([split.enrolled, split.distractors])
    gallery_labels = np.concatenate([split.enrolled_labels, np.full(len(split.distractors), DISTRACTOR)])
    searched = np.concatenate([split.controls, *(p.probes for group in split.protected.values() for p in group)])
    searched_labels = np.concatenate(
        [split.control_labels, *(np.full(len(p.probes), p.label) for g in split.protected.values() for p in g)]
    )
    rows, position = np.unique(searched, return_index=True)
    searched_vectors = vectors[rows]
    found = rivals(searched_vectors, searched_labels[position], Rows(vectors, gallery), gallery_labels, device)
    twins = _Twins(vectors, gallery, gallery_labels)
    return {
        cloak: _outcomes(vectors, split, group, rows, searched_vectors, found, twins, device)
        for cloak, group in split.protected.items()
    }


def _outcomes(
    vectors: F32,
    split: Split,
    group: Sequence[Protected],
    rows: I64,
    searched_vectors: F32,
    found: Rivals,
    twins: _Twins,
    device: str,
) -> list[Outcome]:
    probes = [person.probes for person in group]
    at = np.searchsorted(rows, np.concatenate([np.empty(0, np.int64), *probes]))
    impostor = found.impostor.distance[at]
    first, second = mates(vectors, probes, vectors, [person.cloaked for person in group])
    # own rows come last in the gallery, so at equal distance the impostor wins
    identified, again = first.distance < impostor, second.distance < impostor
    clean_identified = _clean_distance(vectors, split, group, found.mate.distance[at]) < impostor
    control_errors = _control_errors(vectors, split, group, rows, searched_vectors, found, device)
    # at distance 0 an enrolled row finds itself, unless an equal row of somebody else comes earlier
    foreign = [0, *np.cumsum(twins.foreign(*_cloaked(group)))]

    of_label = np.bincount(split.control_labels, minlength=1 + max((person.label for person in group), default=0))

    outcomes, begin, enrolled = [], 0, 0
    for person, errors in zip(group, control_errors, strict=True):
        own = slice(begin, begin := begin + len(person.probes))
        hits = Counter(first.row[own][identified[own]].tolist())
        alone = Counter(first.row[own][identified[own] & ~again[own]].tolist())
        first_row, enrolled = enrolled, enrolled + len(person.cloaked)
        outcomes.append(
            Outcome(
                identity=person.identity,
                probes=len(person.probes),
                identified=int(identified[own].sum()),
                clean_identified=int(clean_identified[own].sum()),
                enrolled=len(person.cloaked),
                enrolled_identified=len(person.cloaked) - int(foreign[enrolled] - foreign[first_row]),
                control_probes=len(split.controls) - int(of_label[person.label]),
                control_errors=int(errors),
                revealed_by=tuple((row, count, alone[row]) for row, count in sorted(hits.items())),
                probe_rows=tuple(person.probes.tolist()),
                identified_rows=tuple(person.probes[identified[own]].tolist()),
            )
        )
    return outcomes


def _clean_distance(vectors: F32, split: Split, group: Sequence[Protected], mate: F64) -> F64:
    """Return float64 per probe of the group: squared distance to the nearest of the person's clean rows.

    Where those are what the person has in the gallery as one of the other people, it is known from there: `mate`.
    """
    order = np.argsort(split.enrolled_labels, kind="stable")
    labels, rows = split.enrolled_labels[order], split.enrolled[order]
    begin, end = (np.searchsorted(labels, [person.label for person in group], side=s) for s in ("left", "right"))
    same = [np.array_equal(rows[i:j], person.clean) for i, j, person in zip(begin, end, group, strict=True)]
    others = [person for person, known in zip(group, same, strict=True) if not known]
    clean, _ = mates(vectors, [person.probes for person in others], vectors, [person.clean for person in others])
    distance = mate.copy()
    distance[~np.repeat(np.array(same, bool), [len(person.probes) for person in group])] = clean.distance
    return distance


def _control_errors(
    vectors: F32,
    split: Split,
    group: Sequence[Protected],
    rows: I64,
    searched_vectors: F32,
    found: Rivals,
    device: str,
) -> I64:
    """Return int64 (identities,): other people's probes that are misidentified while each of `group` is cloaked."""
    at = np.searchsorted(rows, split.controls)
    mate, impostor, second = (Nearest(n.distance[at], n.row[at]) for n in (found.mate, found.impostor, found.second))
    nearest_impostor = found.impostor_label[at]
    # with u cloaked, u's clean rows are gone: whoever was nearest because of them falls back to the second impostor
    right, right_without = mate.beats(impostor), mate.beats(second)
    labels = np.array([person.label for person in group], np.int64)
    cloaked, _ = _cloaked(group)
    sizes = np.array([len(person.cloaked) for person in group], np.int64)
    enrolled = np.flatnonzero(sizes)
    starts = (np.cumsum(sizes) - sizes)[enrolled]
    # wrong without any cloak, whoever is protected; saved by u's absence; lost to u's cloaks
    people = 1 + max(int(split.control_labels.max(initial=0)), int(nearest_impostor.max(initial=0)), *labels)
    wrong = np.bincount(split.control_labels[~right], minlength=people)
    saved = ~right & right_without
    saved &= nearest_impostor >= 0
    errors: I64 = wrong.sum() - wrong[labels] - np.bincount(nearest_impostor[saved], minlength=people)[labels]
    for block, hidden in closer(Rows(searched_vectors, at), mate.distance, Rows(vectors, cloaked), starts, device):
        probe, place = np.nonzero(hidden)
        probe, place = probe + block.start, enrolled[place]
        fallback = saved[probe] & (nearest_impostor[probe] == labels[place])
        lost = (right[probe] | fallback) & (split.control_labels[probe] != labels[place])
        errors += np.bincount(place[lost], minlength=len(errors))
    return errors


def _cloaked(group: Sequence[Protected]) -> tuple[I64, I64]:
    """Return the cloaked rows of all, person after person, and the label of each."""
    nothing = np.empty(0, np.int64)
    rows = np.concatenate([nothing, *(person.cloaked for person in group)])
    labels = np.repeat(np.array([person.label for person in group], np.int64), [len(p.cloaked) for p in group])
    return rows, labels


class _Twins:
    """Gallery rows by content, to find those that equal a vector exactly."""

    def __init__(self, vectors: F32, gallery: I64, labels: I64) -> None:
        self._all = _bit_sums(vectors)
        sums = self._all[gallery]
        order = np.argsort(sums, kind="stable")
        self._vectors, self._rows, self._labels, self._sums = vectors, gallery[order], labels[order], sums[order]

    def foreign(self, rows: I64, labels: I64) -> Bool:
        """Return bool (N,): does each row of the table, of these labels, equal a gallery row of another label?"""
        sums = self._all[rows]
        first, last = (np.searchsorted(self._sums, sums, side=side) for side in ("left", "right"))
        found = np.zeros(len(rows), bool)
        for i in np.flatnonzero(first < last):
            alike = slice(first[i], last[i])
            equal = (self._vectors[self._rows[alike]] == self._vectors[rows[i]]).all(axis=1)
            found[i] = (equal & (self._labels[alike] != labels[i])).any()
        return found


def _bit_sums(vectors: F32) -> npt.NDArray[np.uint32]:
    """Return a number per vector that equal vectors share, and hardly any others: of its first values."""
    first = np.ascontiguousarray(vectors[:, :_SUMMED])
    sums = np.add.reduce(first.view(np.uint32), axis=1, dtype=np.uint32)
    return np.asarray(sums & np.uint32(0x7FFFFFFF))  # −0 equals 0, though it adds the highest bit

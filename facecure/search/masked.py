"""Nearest mates and impostors for whole populations: a rough scan, an exact verdict.

`search.scan` finds every row that could matter to a probe; those few are decided by float64 distances and ties by row,
exactly as `search.exact` defines them. Candidates are decided in slices, so that memory stays bounded even where all
rows tie.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from facecure.kernels import Reach, segment_nearest
from facecure.search.bounds import Pairs, Rows, squares
from facecure.search.exact import DISTRACTOR, Nearest, Rivals
from facecure.search.scan import blocks, in_range, scan
from facecure.types import F32, F64, I64, Bool

_PAIRS = 1 << 21  # candidates held at a time, apart from those of one block of the scan


def rivals(
    probes: F32,
    labels: I64,
    rows: F32 | Rows,
    row_labels: I64,
    device: str = "cpu",
) -> Rivals:
    """Return each probe's nearest mate and impostors in one gallery, as `exact.rivals`.

    Mates are few: all are compared. Impostors are scanned, on `device` (see `scan.scan`). Raises `InputError` where a
    value of `probes` or of the whole table is not finite.
    """
    probes, rows = np.ascontiguousarray(probes), Rows.of(rows)
    labels, row_labels = (np.ascontiguousarray(numbers, np.int64) for numbers in (labels, row_labels))
    x, table, _ = in_range(probes, rows.vectors)
    y = Rows(table, rows.index)
    nearest, second, label = _nobody(len(probes)), _nobody(len(probes)), np.full(len(probes), DISTRACTOR)
    for block in blocks(len(probes)):
        impostors = _Impostors(probes[block], rows, row_labels)
        count = len(probes[block])
        reach = Reach(np.full((count, 2), -np.inf, np.float32), np.full(count, DISTRACTOR))
        for pairs in scan(Rows(x[block]), y, reach, row_labels, labels[block], device):
            impostors.add(pairs, reach)
        first, label[block], other = impostors.winners(reach)
        nearest.distance[block], nearest.row[block] = first.distance, first.row
        second.distance[block], second.row[block] = other.distance, other.row
    return Rivals(_nearest_mates(probes, labels, rows, row_labels), nearest, label, second)


def mates(probes: F32, probe_groups: Sequence[I64], rows: F32, row_groups: Sequence[I64]) -> tuple[Nearest, Nearest]:
    """Return each probe's nearest and second nearest row among the rows of its own group, as `exact.mates`."""
    starts = np.cumsum([0, *map(len, row_groups)])
    group = np.repeat(np.arange(len(probe_groups)), [len(members) for members in probe_groups])
    distance, row = segment_nearest(probes, rows, _joined(row_groups), starts, _joined(probe_groups), group)
    return Nearest(distance[:, 0], row[:, 0]), Nearest(distance[:, 1], row[:, 1])


def closer(
    probes: F32 | Rows, radius: F64, rows: F32 | Rows, starts: I64, device: str = "cpu"
) -> Iterator[tuple[slice, Bool]]:
    """Yield, for consecutive slices of probes, bool (n, S): does segment s hold a row strictly closer than `radius`?

    As `exact.closer`: segment s is rows `starts[s]` up to `starts[s + 1]` or the end, never empty; `radius` float64
    (N,) squared.
    """
    probes, rows = Rows.of(probes), Rows.of(rows)
    searched, table, exponent = in_range(probes.vectors, rows.vectors)
    y, square = Rows(table, rows.index), squares(searched)
    segment_of = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(rows)))
    for block in blocks(len(probes)):
        # the score above which a row lies inside the radius; all do where it is infinite, so none is looked for
        everywhere = np.isposinf(radius[block])
        of = probes.at(np.arange(block.start, block.stop))
        goal = (square[of] - np.ldexp(radius[block], 2 * exponent)) / 2
        goal = np.where(everywhere, np.inf, goal).astype(np.float32)
        inside = np.repeat(everywhere[:, None], len(starts), axis=1)
        reach = Reach(np.stack([goal, goal], axis=1), np.full(len(goal), DISTRACTOR))
        for pairs in scan(Rows(searched, of), y, reach, device=device):
            segment = segment_of[pairs.row]
            surely = pairs.lower > goal[pairs.probe]
            inside[pairs.probe[surely], segment[surely]] = True
            doubtful = np.flatnonzero(~inside[pairs.probe, segment])
            probe, row = pairs.probe[doubtful], pairs.row[doubtful]
            near = _distances(probes.vectors, rows.vectors, of[probe], rows.at(row)) < radius[block][probe]
            inside[probe[near], segment[doubtful[near]]] = True
        yield block, inside


class _Impostors:
    """Candidates for nearest and second nearest impostor of a block of probes: undecided ones, and winners so far."""

    def __init__(self, probes: F32, rows: Rows, row_labels: I64) -> None:
        self._probes, self._rows, self._labels = probes, rows, row_labels
        self._undecided: list[Pairs] = []
        self._probe, self._row, self._distance = np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0)

    def add(self, pairs: Pairs, reach: Reach) -> None:
        """Take candidates of the scan, which has come to `reach`."""
        self._undecided.append(pairs)
        if sum(map(len, self._undecided)) > _PAIRS:
            self._decide(reach)

    def winners(self, reach: Reach) -> tuple[Nearest, I64, Nearest]:
        """Return the nearest impostors, their labels, and the nearest of another label than those."""
        first, second = self._decide(reach)
        label = np.full(len(self._probes), DISTRACTOR)
        label[self._probe[first]] = self._labels[self._row[first]]
        return self._nearest(first), label, self._nearest(second)

    def _decide(self, reach: Reach) -> tuple[I64, I64]:
        """Measure what may still win, keep at most two rows per probe; return the places of first and second ones."""
        for pairs in self._undecided:
            may = reach.may_win(pairs.probe, self._labels[pairs.row], pairs.upper)
            probe, row = pairs.probe[may], pairs.row[may]
            self._probe, self._row = np.append(self._probe, probe), np.append(self._row, row)
            self._distance = np.append(
                self._distance, _distances(self._probes, self._rows.vectors, probe, self._rows.at(row))
            )
        self._undecided.clear()
        # by probe; a block's probes fit sixteen bits, which numpy sorts in linear time
        order = np.argsort(self._probe.astype(np.uint16), kind="stable")
        self._probe, self._row, self._distance = self._probe[order], self._row[order], self._distance[order]
        label = self._labels[self._row]
        first = self._first(self._distance)
        winner = np.empty(len(self._probes), np.int64)
        winner[self._probe[first]] = label[first]
        second = self._first(np.where(label == winner[self._probe], np.inf, self._distance))
        kept = np.concatenate([first, second])
        self._probe, self._row, self._distance = self._probe[kept], self._row[kept], self._distance[kept]
        return np.arange(len(first)), np.arange(len(first), len(kept))

    def _first(self, distance: F64) -> I64:
        """Return the places of each probe's least finite `distance`, the lower row winning a tie."""
        begin = np.flatnonzero(np.diff(self._probe, prepend=-1))
        sizes = np.diff(begin, append=len(distance))
        if not len(begin):
            return begin
        least = np.repeat(np.minimum.reduceat(distance, begin), sizes)
        row = np.where((distance == least) & np.isfinite(distance), self._row, len(self._rows))
        return np.flatnonzero((row == np.repeat(np.minimum.reduceat(row, begin), sizes)) & (row < len(self._rows)))

    def _nearest(self, places: I64) -> Nearest:
        found = _nobody(len(self._probes))
        found.distance[self._probe[places]], found.row[self._probe[places]] = self._distance[places], self._row[places]
        return found


def _nearest_mates(probes: F32, labels: I64, rows: Rows, row_labels: I64) -> Nearest:
    """Return each probe's nearest row of its own label."""
    members = np.argsort(row_labels, kind="stable")
    known, starts = np.unique(row_labels[members], return_index=True)
    segment = np.searchsorted(known, labels)
    probe = np.flatnonzero(np.append(known, DISTRACTOR)[segment] == labels)
    ends = np.append(starts, len(rows))
    distance, at = segment_nearest(probes, rows.vectors, rows.at(members), ends, probe, segment[probe])
    place = np.full(len(rows.vectors) + 1, -1)  # the last one is nobody's
    place[rows.at(members)] = members
    found = _nobody(len(probes))
    found.distance[probe], found.row[probe] = distance[:, 0], place[at[:, 0]]
    return found


def _distances(probes: F32, rows: F32, probe: I64, row: I64) -> F64:
    """Return float64 (P,): the squared distances of (probe, row) pairs, `exact.squared_distances` to the bit."""
    pair = np.arange(len(row) + 1)
    return segment_nearest(probes, rows, row, pair, probe, pair[:-1])[0][:, 0]


def _nobody(count: int) -> Nearest:
    return Nearest(np.full(count, np.inf), np.full(count, -1))


def _joined(groups: Sequence[I64]) -> I64:
    return np.concatenate([np.empty(0, np.int64), *groups])

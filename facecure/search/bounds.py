"""Candidates of a rough scan: bounds of their true scores, by the way the rough ones were computed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facecure.types import F32, F64, I64

_U32, _U64 = 2.0**-24, 2.0**-53  # unit roundoffs


@dataclass(frozen=True, slots=True)
class Rows:
    """A gallery within a table: row i is `vectors[index[i]]`, or `vectors[i]` without an index. Copied only in slices.

    `vectors` float32 (N, D), `index` int64 (R,) or None.
    """

    vectors: F32
    index: I64 | None = None

    @classmethod
    def of(cls, table: F32 | Rows) -> Rows:
        """Return the rows of a whole table, or those given; the vectors contiguous."""
        rows = table if isinstance(table, Rows) else cls(table)
        return cls(np.ascontiguousarray(rows.vectors), rows.index)

    def __len__(self) -> int:
        return len(self.vectors if self.index is None else self.index)

    def __getitem__(self, part: slice) -> F32:
        return self.vectors[part] if self.index is None else self.vectors[self.index[part]]

    def slice(self, first: int, last: int) -> tuple[F32, I64 | None]:
        """Return vectors and index of the rows from `first` up to `last`, not copied."""
        if self.index is None:
            return self.vectors[first:last], None
        return self.vectors, self.index[first:last]

    def at(self, rows: I64) -> I64:
        """Return where in `vectors` the given rows lie."""
        return rows if self.index is None else self.index[rows]

    @property
    def copied_bytes(self) -> int:
        """Return how many bytes a slice takes per row."""
        return 0 if self.index is None else 4 * self.vectors.shape[1]


@dataclass(frozen=True, slots=True)
class Pairs:
    """Candidates: `probe`, `row` int64 (P,) and bounds of their true scores, `lower` and `upper` float32 (P,)."""

    probe: I64
    row: I64
    lower: F32
    upper: F32

    def __len__(self) -> int:
        return len(self.probe)

    @classmethod
    def of(cls, found: tuple[I64, I64, F32], first: int, error: F32) -> Pairs:
        """Return (probe, row, score) of rows counted from `first`, scores within `error` float32 (N,) of the true."""
        probe, row, score = found
        return cls(probe, row + first, score - error[probe], score + error[probe])


def rounded_up(error: F64) -> F32:
    """Return float32 values a little above the float64 ones."""
    rounded: F32 = (1.0001 * error).astype(np.float32)
    return rounded


def squares(vectors: F32) -> F64:
    """Return float64 (N,) squared lengths of float32 (N, D)."""
    squares: F64 = np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64)
    return squares


def coarse_error(length: F64, lost: F64, longest: float, most_lost: float) -> tuple[F64, F64]:
    """Return how far the score of x̂ and ŷ lies from that of x and y: (a, b) for a + b·|y − ŷ|.

    |x·y − x̂·ŷ| ≤ |x − x̂||y| + |x̂||y − ŷ| (Cauchy-Schwarz), |x̂| ≤ |x| + |x − x̂|; for |y| stands the longest one's.
    The integers multiply and add exactly; conversion, two scales, their products, |y|²/2, the error itself and the
    comparison round at most 16 times, nothing of which is longer than with the `most_lost`.
    """
    product = (length + lost) * (longest + most_lost)
    return lost * longest + 16 * _U32 * (product + longest**2 / 2), length + lost


def float32_error(length: F64, longest: float, size: int) -> F64:
    """Return how far a float32 score, summed in any order, lies from the true one.

    At most γ·(|x||y| + |y|²/2): Higham, Accuracy and Stability of Numerical Algorithms, §3.1.
    """
    return 1.01 * _U32 * (size + 16) * (length * longest + longest**2 / 2)


def verdict_error(length: F64, longest: float, size: int) -> F64:
    """Return how far half a float64 distance, as the verdict sums it, lies from the true one; and for underflow."""
    return 4 * _U64 * (size + 8) * (length + longest) ** 2 + 1e-30

"""The rough scan of exact nearest-neighbour search: eight-bit vectors, the rows that may matter, and their twins.

The score of a row y for a probe x is x·y − |y|²/2: larger is nearer, and |x − y|² = |x|² − 2·score.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from facecure import _core
from facecure.threads import thread_count
from facecure.types import F32, F64, I64

_BLOCK = 16  # codes are padded to a multiple


@dataclass(frozen=True, slots=True)
class ScanBody:
    """One way to multiply small integers: its instruction set, and the largest code it can sum without overflow."""

    name: str
    limit: int


@dataclass(frozen=True, slots=True)
class Quantized:
    """Vectors as scale × codes: `codes` int8 (N, D up to a multiple of 16) in −limit…limit, `sums` int32 (N,) of them.

    `scale`, `square` (squared length of the vector) and `lost` (of vector − scale × codes) are float64 (N,). Vector i
    is `vectors[index[i]]`, or `vectors[i]` without an index.
    """

    vectors: F32
    index: I64 | None
    limit: int
    codes: npt.NDArray[np.int8]
    sums: npt.NDArray[np.int32]
    scale: F64
    square: F64
    lost: F64


@dataclass(frozen=True, slots=True)
class Reach:
    """What each probe has found so far: `best` float32 (N, 2), `label` int64 (N,).

    `best` are lower bounds of the true scores of two rows of different labels, the first the higher, of label `label`.
    """

    best: F32
    label: I64

    def may_win(self, probe: I64, label: I64 | None, upper: F32) -> npt.NDArray[np.bool_]:
        """Return bool (P,): may rows of these labels and at most these scores be the best or the best but one?

        Who is not the best of its own label, nor among the best two labels, is neither. Without labels: reach `best`.
        """
        place = 1 if label is None else np.where(label == self.label[probe], 0, 1)
        won: npt.NDArray[np.bool_] = upper >= self.best[probe, place]
        return won

    def merge(self, lower: F32, label: I64) -> None:
        """Take the best rows of two labels among further ones: bounds `lower` float32 (N, 2), higher first, `label`."""
        values = np.concatenate([self.best, lower], axis=1)
        known = np.stack([self.label, np.full_like(self.label, -2), *label.T], axis=1)  # −2: any but the first's
        first = np.argmax(values, axis=1)[:, None]
        top = np.take_along_axis(known, first, axis=1)
        self.best[:, :1] = np.take_along_axis(values, first, axis=1)
        self.best[:, 1] = np.where(known == top, -np.inf, values).max(axis=1)
        self.label[:] = top[:, 0]


def scan_bodies() -> tuple[ScanBody, ...]:
    """Return the bodies of `near_rows` that this CPU has and FACECURE_SIMD allows, the best last."""
    return tuple(ScanBody(*body) for body in _core.scan_bodies())


def largest_magnitude(values: F32, *, threads: int = 0) -> float:
    """Return the largest |value| of a contiguous float32 array, 0 without any; inf or NaN where not all are finite."""
    return _core.largest_magnitude(values=values, threads=thread_count(threads))


def quantize(
    vectors: F32, index: I64 | None = None, *, limit: int = 127, threads: int = 0, simd: str | None = None
) -> Quantized:
    """Return finite vectors, float32 (T, D) at `index` int64 (N,) or all, rounded to nearest even codes.

    Each vector's largest |value| becomes ±`limit`. `simd` names an instruction set; all give the same bits.
    """
    vectors = np.ascontiguousarray(vectors)
    threads = thread_count(threads)
    made = _core.quantize(vectors=vectors, index=index, limit=limit, threads=threads, simd=simd)
    return Quantized(vectors, index, limit, *made)


def quantize_numpy(vectors: F32, index: I64 | None = None, *, limit: int = 127) -> Quantized:
    """Return what `quantize` returns, up to the order of float64 sums."""
    vectors = np.ascontiguousarray(vectors)
    chosen = vectors if index is None else vectors[index]
    wide = np.pad(chosen, ((0, 0), (0, -chosen.shape[1] % _BLOCK))).astype(np.float64)
    largest = np.abs(wide).max(axis=1, initial=0)
    inverse = np.divide(limit, largest, out=np.zeros_like(largest), where=largest > 0)
    codes = np.rint(wide * inverse[:, None])
    scale = largest / limit
    lost = np.square(wide - scale[:, None] * codes).sum(axis=1)
    whole = codes.astype(np.int8)
    sums = whole.sum(axis=1, dtype=np.int32)
    return Quantized(vectors, index, limit, whole, sums, scale, np.square(wide).sum(axis=1), lost)


def near_rows(
    probes: Quantized,
    rows: Quantized,
    coarse: F32,
    fine: F32,
    reach: Reach,
    labels: I64 | None = None,
    own: I64 | None = None,
    *,
    most: int = 1 << 40,
    threads: int = 0,
    simd: str | None = None,
) -> tuple[I64, I64, F32] | None:
    """Return (probe, row, score), (P,) each: at least the pairs that may win given the final `reach`; float32 scores.

    True scores lie within `fine` float32 (N,) of the returned ones, and within coarse[:, 0] + coarse[:, 1]·√rows.lost
    of those of the codes, `coarse` float32 (N, 2). With `labels` int64 (R,), rows labelled `own` int64 (N,) are left
    out and `reach` is raised in place; without, all rows are compared with the second of `reach.best`, which stays.
    None where there are more than about `most` pairs: ask again with fewer rows, what `reach` has risen to holds; one
    row is always answered. `simd` names one of `scan_bodies()`, the best by default. Raises `ValueError` where codes go
    beyond its limit, `MemoryError` without memory.
    """
    body = next((body for body in scan_bodies()[::-1] if simd in (None, body.name)), None)
    if body is not None and max(probes.limit, rows.limit) > body.limit:
        raise ValueError(f"codes up to {max(probes.limit, rows.limit)}, but {body.name} sums only ±{body.limit}")
    return _core.near_rows(
        probes=_coded(probes),
        rows=_coded(rows),
        half=(rows.square / 2).astype(np.float32),
        lost=np.nextafter(np.sqrt(rows.lost).astype(np.float32), np.float32(np.inf)),
        coarse=coarse,
        fine=fine,
        labels=labels,
        own=own,
        best=reach.best,
        best_label=reach.label,
        most=most,
        threads=thread_count(threads),
        simd=simd,
    )


def _coded(given: Quantized) -> tuple[F32, I64 | None, npt.NDArray[np.int8], npt.NDArray[np.int32], F32]:
    return given.vectors, given.index, given.codes, given.sums, given.scale.astype(np.float32)


def near_rows_numpy(
    probes: Quantized,
    rows: Quantized,
    fine: F32,
    reach: Reach,
    labels: I64 | None = None,
    own: I64 | None = None,
) -> tuple[I64, I64, F32]:
    """Return what `near_rows` returns, the fewest pairs the contract allows: the codes only save it time."""
    x, y = (v.vectors if v.index is None else v.vectors[v.index] for v in (probes, rows))
    scores = (x.astype(np.float64) @ y.T.astype(np.float64) - rows.square / 2).astype(np.float32)
    if labels is None or own is None:
        probe, row = np.nonzero(scores >= (reach.best[:, 1] - fine)[:, None])
        return probe, row, scores[probe, row]
    scores = np.where(labels == own[:, None], np.float32(-np.inf), scores)
    top, found = _top_two(scores, labels)
    reach.merge(top - fine[:, None], found)
    probe, row = np.nonzero(scores >= np.maximum(reach.best[:, 1] - fine, -np.finfo(np.float32).max)[:, None])
    score = scores[probe, row]
    may = reach.may_win(probe, labels[row], score + fine[probe])
    return probe[may], row[may], score[may]


def _top_two(scores: F32, labels: I64) -> tuple[F32, I64]:
    """Return per row the highest score and the highest of another label, float32 (N, 2), and both labels (N, 2)."""
    index = np.arange(len(scores))
    first = np.argmax(scores, axis=1)
    others = np.where(labels == labels[first][:, None], np.float32(-np.inf), scores)
    second = np.argmax(others, axis=1)
    values = np.stack([scores[index, first], others[index, second]], axis=1)
    return values, labels[np.stack([first, second], axis=1)]

"""The rough scan of exact nearest-neighbour search: eight-bit vectors, the rows that may matter, and their twins.

The score of a row y for a probe x is x·y − |y|²/2: larger is nearer, and |x − y|² = |x|² − 2·score.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from facecure import _core
from facecure.kernels.threads import thread_count
from facecure.types import F32, F64, I64

_PANEL = 32  # probes that the native scan keeps side by side


@dataclass(frozen=True, slots=True)
class Quantized:
    """Vectors as scale × codes: `codes` int8 (N, D up to a multiple of 4) in −127…127, `sums` int32 (N,) of them.

    `scale`, `square` (squared length of the vector) and `lost` (of vector − scale × codes) are float64 (N,).
    """

    codes: npt.NDArray[np.int8]
    sums: npt.NDArray[np.int32]
    scale: F64
    square: F64
    lost: F64

    def packed(self) -> npt.NDArray[np.uint32]:
        """Return the codes + 128 in fours, (panels, D / 4, 32): as `near_rows` reads probes."""
        rows, size = self.codes.shape
        fours = np.zeros((-(-rows // _PANEL) * _PANEL, size // 4), np.uint32)
        fours[:rows] = self.codes.view(np.uint32)
        panels = fours.reshape(-1, _PANEL, size // 4).transpose(0, 2, 1)
        return np.ascontiguousarray(panels) ^ np.uint32(0x80808080)


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


def quantize(vectors: F32, *, threads: int = 0) -> Quantized:
    """Return finite float32 (N, D) vectors quantised to nearest even, each by its largest |value| / 127."""
    return Quantized(
        *_core.quantize(vectors=np.ascontiguousarray(vectors), threads=thread_count(threads)),
    )


def quantize_numpy(vectors: F32) -> Quantized:
    """Return what `quantize` returns, up to the order of float64 sums."""
    wide = np.pad(vectors, ((0, 0), (0, -vectors.shape[1] % 4))).astype(np.float64)
    largest = np.abs(wide).max(axis=1, initial=0)
    inverse = np.divide(127, largest, out=np.zeros_like(largest), where=largest > 0)
    codes = np.rint(wide * inverse[:, None])
    scale = largest / 127
    lost = np.square(wide - scale[:, None] * codes).sum(axis=1)
    whole = codes.astype(np.int8)
    return Quantized(whole, whole.sum(axis=1, dtype=np.int32), scale, np.square(wide).sum(axis=1), lost)


def has_vnni() -> bool:
    """Return whether this CPU multiplies eight-bit integers four at a time (AVX512-VNNI), which `near_rows` needs."""
    return bool(_core.build_info()["vnni"])


def near_rows(
    probes: Quantized,
    packed: npt.NDArray[np.uint32],
    rows: Quantized,
    error: F32,
    reach: Reach,
    labels: I64 | None = None,
    own: I64 | None = None,
    *,
    most: int = 1 << 40,
    threads: int = 0,
) -> tuple[I64, I64, F32] | None:
    """Return (probe, row, score), (P,) each: at least the pairs that, within `error`, may win given the final `reach`.

    `packed` is `probes.packed()`; the true score lies within `error` float32 (N,) of the scan's. With `labels` int64
    (R,), rows labelled `own` int64 (N,) are left out and `reach` is raised in place; without, all rows are compared
    with the second of `reach.best`, which stays. None where there are more than about `most` pairs: ask again with
    fewer rows, what `reach` has risen to holds; one row is always answered. Raises `ValueError` without `has_vnni`.
    """
    return _core.near_rows(
        probes=packed,
        probe_scale=probes.scale.astype(np.float32),
        error=error,
        rows=rows.codes,
        sums=rows.sums,
        row_scale=rows.scale.astype(np.float32),
        half=(rows.square / 2).astype(np.float32),
        labels=labels,
        own=own,
        best=reach.best,
        best_label=reach.label,
        most=most,
        threads=thread_count(threads),
    )


def near_rows_numpy(
    probes: Quantized,
    rows: Quantized,
    error: F32,
    reach: Reach,
    labels: I64 | None = None,
    own: I64 | None = None,
) -> tuple[I64, I64, F32]:
    """Return what `near_rows` returns, the fewest pairs the contract allows."""
    dots = (probes.codes.astype(np.float64) @ rows.codes.T.astype(np.float64)).astype(np.float32)
    scale = probes.scale.astype(np.float32)[:, None] * rows.scale.astype(np.float32)
    return near_scores(dots * scale - (rows.square / 2).astype(np.float32), error, reach, labels, own)


def near_scores(
    scores: F32, error: F32, reach: Reach, labels: I64 | None = None, own: I64 | None = None
) -> tuple[I64, I64, F32]:
    """Return what `near_rows` returns, from float32 scores (N, R) that lie within `error` of the true ones."""
    if labels is None or own is None:
        probe, row = np.nonzero(scores >= (reach.best[:, 1] - error)[:, None])
        return probe, row, scores[probe, row]
    scores = np.where(labels == own[:, None], np.float32(-np.inf), scores)
    top, found = _top_two(scores, labels)
    reach.merge(top - error[:, None], found)
    probe, row = np.nonzero(scores >= np.maximum(reach.best[:, 1] - error, -np.finfo(np.float32).max)[:, None])
    score = scores[probe, row]
    may = reach.may_win(probe, labels[row], score + error[probe])
    return probe[may], row[may], score[may]


def _top_two(scores: F32, labels: I64) -> tuple[F32, I64]:
    """Return per row the highest score and the highest of another label, float32 (N, 2), and both labels (N, 2)."""
    index = np.arange(len(scores))
    first = np.argmax(scores, axis=1)
    others = np.where(labels == labels[first][:, None], np.float32(-np.inf), scores)
    second = np.argmax(others, axis=1)
    values = np.stack([scores[index, first], others[index, second]], axis=1)
    return values, labels[np.stack([first, second], axis=1)]

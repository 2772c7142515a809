"""k nearest neighbours by FAISS's flat index, with this package's ties.

FAISS leaves the order of equal distances open and computes in float32; here it only proposes candidates. They are
ranked by float64 distance, and more are asked for until no row outside can belong to the first k.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from facecure.errors import MissingDependency
from facecure.search.exact import check_k, squared_distances
from facecure.search.scan import in_range
from facecure.threads import available_threads
from facecure.types import F32, F64, I64, Bool


def knn(probes: F32, rows: F32, k: int, block: int = 1 << 22) -> tuple[F64, I64]:
    """Return exactly what `exact.knn` returns: squared distances float64 (N, k), rows int64 (N, k), nearest first.

    Raises `MissingDependency` without FAISS, `InputError` where k is not in 1…number of rows. `block` bounds the
    candidate values ranked at a time.
    """
    try:
        import faiss
    except ImportError as error:
        raise MissingDependency("faiss", "cpu") from error
    check_k(rows, k)
    x, y, exponent = in_range(probes, rows)
    index = faiss.IndexFlatL2(rows.shape[1])
    index.add(np.ascontiguousarray(y))
    # rounding of a float32 squared distance, expanded or not: (D + 4)·u·(|x| + Y)², Higham §3.1
    longest = np.linalg.norm(y.astype(np.float64), axis=1).max()
    lengths = np.linalg.norm(x.astype(np.float64), axis=1)
    slack = 1.01 * 2.0**-24 * (y.shape[1] + 4) * (lengths + longest) ** 2
    distances, nearest = np.empty((len(probes), k)), np.empty((len(probes), k), np.int64)
    todo, width = np.arange(len(probes)), min(len(rows), 2 * k + 8)
    while len(todo):
        settled = np.zeros(len(todo), bool)
        step = max(1, block // (width * rows.shape[1]))
        for i in range(0, len(todo), step):
            part = todo[i : i + step]
            with _threads():
                approximate, candidates = index.search(np.ascontiguousarray(x[part]), width)
            d, r = _rank(probes[part], rows, candidates)
            # a row FAISS left out lies at least as far as its last candidate, within rounding
            edge = np.ldexp(approximate[:, -1].astype(np.float64) - slack[part], -2 * exponent)
            done: Bool = (width == len(rows)) | (d[:, k - 1] < edge)
            distances[part[done]], nearest[part[done]] = d[done, :k], r[done, :k]
            settled[i : i + step] = done
        todo, width = todo[~settled], min(len(rows), 4 * width)
    return distances, nearest


@contextmanager
def _threads() -> Iterator[None]:
    """Run FAISS on all threads available inside; outside the process keeps its own setting."""
    import faiss

    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(available_threads())
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def _rank(probes: F32, rows: F32, candidates: I64) -> tuple[F64, I64]:
    """Return the candidates' float64 squared distances and rows, sorted by (distance, row) per probe."""
    count, width = candidates.shape
    flat = squared_distances(np.repeat(probes, width, axis=0), rows[candidates.ravel()]).reshape(count, width)
    order = np.lexsort((candidates, flat), axis=1)
    return np.take_along_axis(flat, order, axis=1), np.take_along_axis(candidates, order, axis=1)

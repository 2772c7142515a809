"""Scan and verdict kernels against their twins and against arithmetic they cannot share."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from facecure import _core, kernels
from facecure.errors import InputError
from facecure.search.bounds import coarse_error, float32_error, rounded_up

BODIES = kernels.scan_bodies()
SIMD = ("scalar", "avx2", "avx512")
AVAILABLE = SIMD[: SIMD.index(_core.build_info()["simd"]) + 1]
each_body = pytest.mark.parametrize("body", BODIES, ids=[body.name for body in BODIES])
EXTREMES = np.array([0, -0.0, 1, -1, 1e-45, 1.17549435e-38, 3.3e38, -3.3e38, 0.5, 2**-130], np.float32)


@pytest.mark.parametrize("simd", AVAILABLE)
@pytest.mark.parametrize("limit", [127, 63, 1])
@pytest.mark.parametrize(("rows", "size"), [(0, 5), (1, 1), (3, 2), (7, 33), (20, 512)])
def test_quantising_equals_its_twin(rows, size, limit, simd):
    vectors = np.random.default_rng(rows).standard_normal((rows, size)).astype(np.float32)
    vectors.ravel()[: len(EXTREMES)] = EXTREMES[: vectors.size]
    found, expected = kernels.quantize(vectors, limit=limit, simd=simd), kernels.quantize_numpy(vectors, limit=limit)
    for name in ("codes", "sums", "scale"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    scalar = kernels.quantize(vectors, limit=limit, simd="scalar", threads=3)
    for name in ("square", "lost"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-12)
        np.testing.assert_array_equal(getattr(found, name), getattr(scalar, name))
    codes = found.codes[:, :size]
    assert (abs(codes.astype(int)) <= limit).all()
    assert found.codes.shape[1] % 16 == 0
    assert (found.codes[:, size:] == 0).all()
    # half a step at most, by the definition of rounding
    assert (abs(vectors - found.scale[:, None] * codes) <= 0.5000001 * found.scale[:, None]).all()


def test_quantising_rows_of_a_table_takes_them_in_their_order():
    table = np.random.default_rng(1).standard_normal((30, 14)).astype(np.float32)
    index = np.array([29, 0, 7, 7, 3])
    for made in (kernels.quantize(table, index), kernels.quantize_numpy(table, index)):
        np.testing.assert_array_equal(made.codes, kernels.quantize(table[index]).codes)
    for wrong in (np.array([30]), np.array([-1])):
        with pytest.raises(ValueError, match="point into vectors"):
            kernels.quantize(table, wrong)
    with pytest.raises(ValueError, match="limit"):
        kernels.quantize(table, limit=128)


def test_quantising_accepts_non_contiguous_vectors():
    wide = np.random.default_rng(1).standard_normal((9, 14)).astype(np.float32)
    expected = kernels.quantize_numpy(wide[::2, ::-2].copy())
    np.testing.assert_array_equal(kernels.quantize(wide[::2, ::-2]).codes, expected.codes)


@pytest.mark.parametrize("count", [0, 1, 31, 1 << 15, (1 << 15) + 1])
def test_the_largest_magnitude_is_that_of_all_values_or_not_finite(count):
    values = np.random.default_rng(count).standard_normal(count).astype(np.float32)
    assert kernels.largest_magnitude(values, threads=2) == np.abs(values).max(initial=0)
    for bad in (np.nan, np.inf, -np.inf) if count else ():
        for place in (0, -1):
            spoilt = values.copy()
            spoilt[place] = bad
            assert not np.isfinite(kernels.largest_magnitude(spoilt, threads=2))


def fresh(count: int) -> kernels.Reach:
    return kernels.Reach(np.full((count, 2), -np.inf, np.float32), np.full(count, -1))


def pair(body: kernels.ScanBody, x: np.ndarray, y: np.ndarray):
    """Return probes and rows for a body, and the proven errors of their scores."""
    x, y = (kernels.quantize(v.astype(np.float32), limit=body.limit) for v in (x, y))
    length, lost, (longest, most_lost) = np.sqrt(x.square), np.sqrt(x.lost), np.sqrt([y.square.max(), y.lost.max()])
    coarse = rounded_up(np.stack(coarse_error(length, lost, longest, most_lost), axis=1))
    return x, y, coarse, rounded_up(float32_error(length, longest, x.vectors.shape[1]))


@each_body
@pytest.mark.parametrize("probes", [1, 31, 33, 300])
@pytest.mark.parametrize(("rows", "size"), [(1, 1), (11, 4), (12, 6), (13, 512), (700, 34)])
def test_near_rows_with_a_fixed_reach_equal_their_twin(body, probes, rows, size):
    rng = np.random.default_rng([probes, rows])
    x, y, coarse, fine = pair(body, rng.standard_normal((probes, size)), rng.standard_normal((rows, size)))
    reach = kernels.Reach(rng.standard_normal((probes, 2)).astype(np.float32), np.full(probes, -1))
    least, most = (
        set(zip(*kernels.near_rows_numpy(x, y, error, reach)[:2], strict=True)) for error in (0.9 * fine, 1.1 * fine)
    )
    for threads in (1, 3):
        probe, row, score = kernels.near_rows(x, y, coarse, fine, reach, threads=threads, simd=body.name)
        found = set(zip(probe, row, strict=True))
        assert least <= found <= most
        assert len(found) == len(probe)
        exact = (x.vectors[probe].astype(np.float64) * y.vectors[row]).sum(axis=1) - y.square[row] / 2
        assert (abs(score - exact) <= fine[probe]).all()


@each_body
@pytest.mark.parametrize("probes", [1, 33, 200])
@pytest.mark.parametrize(("rows", "size"), [(1, 2), (13, 512), (1500, 20)])
def test_near_rows_with_labels_hold_the_best_two_of_every_probe(body, probes, rows, size):
    rng = np.random.default_rng([probes, rows])
    x, y, coarse, fine = pair(body, rng.standard_normal((probes, size)), rng.standard_normal((rows, size)))
    labels, own = rng.integers(-1, 9, rows), rng.integers(0, 9, probes)
    reach, twin = fresh(probes), fresh(probes)
    parts = [kernels.near_rows(x, y, coarse, fine, reach, labels, own, simd=body.name)]
    expected = kernels.near_rows_numpy(x, y, fine, twin, labels, own)
    np.testing.assert_allclose(reach.best, twin.best, rtol=1e-4, atol=2 * fine.max())
    seen, least = (set(zip(*pairs[:2], strict=True)) for pairs in (parts[0], expected))
    for probe, row in least - seen:  # only on the border, within float32 rounding
        score = expected[2][(expected[0] == probe) & (expected[1] == row)]
        assert abs(score + fine[probe] - reach.best[probe]).min() < 2 * fine.max()
    assert not (labels[parts[0][1]] == own[parts[0][0]]).any()
    # what was found holds when nothing of a second call is better
    again = kernels.near_rows(x, y, coarse, fine, reach, labels, own, simd=body.name)
    assert set(zip(*again[:2], strict=True)) == seen


@each_body
@pytest.mark.parametrize("size", [16, 100, 1 << 17])
@pytest.mark.parametrize("kind", ["all one sign", "alternating", "blocks"])
def test_no_sum_overflows_at_the_largest_codes(body, size, kind):
    """Every code ±limit, in the orders that lead narrow sums farthest; the scores are exact there."""
    place = np.arange(size)
    signs = {"all one sign": np.ones(size), "alternating": 1 - 2 * (place % 2), "blocks": 1 - 2 * (place // 8 % 2)}[
        kind
    ]
    x, y, coarse, fine = pair(body, np.stack([signs, -signs]), np.stack([signs, -signs, np.ones(size)]))
    assert (abs(x.codes[:, :size].astype(int)) == body.limit).all()
    exact = x.vectors.astype(np.float64) @ y.vectors.T.astype(np.float64) - size / 2
    for probe, row in np.ndindex(exact.shape):  # a goal just below, and one above, any other product would miss
        for side, hit in ((-1, True), (1, False)):
            goal = np.full((2, 2), np.inf, np.float32)
            goal[probe] = exact[probe, row] + side * (2 * (coarse[probe].sum() * 1.01 + fine[probe]))
            found = kernels.near_rows(x, y, coarse, fine, kernels.Reach(goal, np.zeros(2, np.int64)), simd=body.name)
            assert ((probe, row) in set(zip(*found[:2], strict=True))) == hit


@each_body
def test_rows_of_mixed_unrest_are_multiplied_alike(body):
    """Codes far from and close to what a fast way may sum, side by side, against products in integers."""
    rng = np.random.default_rng(8)
    y = rng.standard_normal((40, 64))
    y[::3] = rng.choice([-1, 1], (14, 64))
    x, y, coarse, fine = pair(body, rng.standard_normal((35, 64)), y)
    reach = kernels.Reach(np.zeros((35, 2), np.float32), np.zeros(35, np.int64))
    probe, row, _ = kernels.near_rows(x, y, coarse, fine, reach, simd=body.name)
    expected = kernels.near_rows_numpy(x, y, fine, reach)
    assert set(zip(probe, row, strict=True)) == set(zip(*expected[:2], strict=True))


@each_body
def test_too_many_near_rows_are_not_held(body):
    x, y, coarse, fine = pair(body, np.ones((40, 4)), np.ones((5000, 4)))
    given = np.arange(5000), np.full(40, -1)
    assert kernels.near_rows(x, y, coarse, fine, fresh(40), *given, most=1000, simd=body.name) is None
    one = kernels.quantize(np.ones((1, 4), np.float32), limit=body.limit)
    found = kernels.near_rows(x, one, coarse, fine, fresh(40), np.arange(1), np.full(40, -1), most=0, simd=body.name)
    assert found is not None
    assert sorted(found[0].tolist()) == list(range(40))


def test_one_task_that_is_full_stops_all():
    body = BODIES[-1]
    x, y, coarse, fine = pair(body, np.ones((700, 4)) * np.repeat([[1], [-1]], 350, axis=0), np.ones((3000, 4)))
    reach = kernels.Reach(np.zeros((700, 2), np.float32), np.zeros(700, np.int64))
    assert kernels.near_rows(x, y, coarse, fine, reach, most=100_000, threads=3) is None
    assert len(kernels.near_rows(x, y, coarse, fine, reach, threads=3)[0]) == 350 * 3000


@pytest.mark.skipif(sys.platform != "linux", reason="address space is limited by Linux")
def test_no_memory_is_an_error_not_the_end():
    """Millions of pairs under a limit of address space that they do not fit."""
    program = """
import resource, numpy as np
from facecure import kernels
x, y = (kernels.quantize(np.ones((n, 4), np.float32), limit=63) for n in (128, 400_000))
reach = kernels.Reach(np.full((128, 2), -9, np.float32), np.zeros(128, np.int64))
coarse, fine = np.full((128, 2), 1e-3, np.float32), np.full(128, 1e-3, np.float32)
kernels.near_rows(x, kernels.quantize(np.ones((9, 4), np.float32)[:, :], limit=63), coarse, fine, reach, threads=2)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (100 << 20),) * 2)
try:
    kernels.near_rows(x, y, coarse, fine, reach, threads=2)
except MemoryError:
    print("no memory")
"""
    command = [sys.executable, "-P", "-c", program]  # of what is installed
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "no memory"), done.stderr


@pytest.mark.parametrize("size", [1, 2, 7, 8, 9, 127, 128, 129, 136, 255, 300, 512, 1000, 1025])
def test_nearest_of_segments_equals_its_twin_bit_for_bit(size):
    rng = np.random.default_rng(size)
    probes, rows = (rng.standard_normal((n, size)).astype(np.float32) for n in (9, 40))
    rows[5] = rows[4]  # a tie
    members = rng.permutation(40)[:30]
    starts = np.array([0, 0, 1, 3, 8, 30])
    probe, segment = rng.integers(0, 9, 60), rng.integers(0, 5, 60)
    for threads in (1, 4):
        found = kernels.segment_nearest(probes, rows, members, starts, probe, segment, threads=threads)
        for one, other in zip(
            found, kernels.segment_nearest_numpy(probes, rows, members, starts, probe, segment), strict=True
        ):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    "sizes", [[1] * 130, [2, 3] * 40, [4, 1, 6, 0, 9] * 20, [300]], ids=lambda sizes: str(sizes[:5])
)
def test_nearest_of_segments_of_any_size_equals_its_twin(sizes):
    """Distances are taken several at a time, within a pair or across pairs."""
    rng = np.random.default_rng(len(sizes))
    probes, rows = (rng.standard_normal((n, 37)).astype(np.float32) for n in (11, 50))
    starts = np.cumsum([0, *sizes])
    members, segment = rng.integers(0, 50, starts[-1]), rng.permutation(len(sizes))
    pairs = members, starts, rng.integers(0, 11, len(sizes)), segment
    for found, expected in zip(
        kernels.segment_nearest(probes, rows, *pairs, threads=3),
        kernels.segment_nearest_numpy(probes, rows, *pairs),
        strict=True,
    ):
        np.testing.assert_array_equal(found, expected)


def test_a_value_that_is_not_finite_spoils_its_own_pair_only():
    probes, rows = np.zeros((2, 9), np.float32), np.ones((6, 9), np.float32)
    rows[4, 7] = np.nan
    segments = np.array([0, 3, 6]), np.array([0, 1, 1]), np.array([0, 1, 0])
    with pytest.raises(InputError, match="row 4 holds a value that is not finite"):
        kernels.segment_nearest(probes, rows, np.arange(6), *segments)
    distance, row = _core.segment_nearest(
        probes=probes, rows=rows, members=np.arange(6), starts=segments[0], probe=segments[1], segment=segments[2],
        threads=1,
    )  # fmt: skip
    assert row[[0, 2]].tolist() == [[0, 1]] * 2
    assert row[1, 0] == 4
    np.testing.assert_array_equal(distance[[0, 2]], 9)
    assert np.isnan(distance[1, 0])


def test_nearest_of_segments_takes_the_earlier_member_and_handles_extremes():
    probes = np.array([[0, 0], [3e38, 3e38]], np.float32)
    rows = np.array([[0, 1], [1, 0], [-1, 0], [-3e38, -3e38], [1e-45, 0]], np.float32)
    members, starts = np.array([2, 1, 0, 3, 4]), np.array([0, 3, 4, 5, 5])
    pairs = np.array([0, 1, 0, 0]), np.array([0, 1, 2, 3])
    distance, row = kernels.segment_nearest(probes, rows, members, starts, *pairs)
    assert row.tolist() == [[2, 1], [3, -1], [4, -1], [-1, -1]]
    assert distance[0].tolist() == [1, 1]
    assert distance[1, 0] == pytest.approx(2 * (6e38) ** 2, rel=1e-6)
    assert 0 < distance[2, 0] < 1e-89
    assert np.isinf(distance[3]).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"members": np.array([0, 9])}, "indices"),
        ({"probe": np.array([-1])}, "indices"),
        ({"segment": np.array([1])}, "indices"),
        ({"starts": np.array([0, 3])}, "ascend"),
        ({"starts": np.array([2, 0])}, "ascend"),
        ({"rows": np.zeros((3, 5), np.float32)}, r"\(N, D\)"),
    ],
)
def test_out_of_range_indices_are_errors_not_crashes(change, message):
    good = {
        "probes": np.zeros((2, 4), np.float32),
        "rows": np.zeros((3, 4), np.float32),
        "members": np.array([0, 2]),
        "starts": np.array([0, 2]),
        "probe": np.array([1]),
        "segment": np.array([0]),
    }
    assert kernels.segment_nearest(**good)[1].tolist() == [[0, 2]]
    with pytest.raises(ValueError, match=message):
        kernels.segment_nearest(**good | change)


def good() -> dict[str, object]:
    x = kernels.quantize(np.zeros((3, 4), np.float32), limit=63)
    return {"probes": x, "rows": x, "coarse": np.zeros((3, 2), np.float32), "fine": np.zeros(3, np.float32),
            "reach": fresh(3), "labels": np.zeros(3, np.int64), "own": np.zeros(3, np.int64)}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "message"),
    [({"coarse": np.zeros((2, 3), np.float32)}, "per probe"), ({"fine": np.zeros(2, np.float32)}, "per probe"),
     ({"own": np.zeros(2, np.int64)}, "per probe"), ({"labels": np.zeros(2, np.int64)}, "per row"),
     ({"own": None}, "labels come with own"), ({"simd": "abacus"}, "names no body"),
     ({"reach": kernels.Reach(np.zeros((2, 3), np.float32), np.zeros(3, np.int64))}, "best two"),
     ({"reach": kernels.Reach(np.zeros((3, 2), np.float32), np.zeros((3, 1), np.int64))}, "per probe"),
     ({"rows": kernels.quantize(np.zeros((3, 5), np.float32), limit=63)}, "as many values")],
)  # fmt: skip
def test_wrong_shapes_are_errors(change, message):
    assert kernels.near_rows(**good()) is not None
    with pytest.raises(ValueError, match=message):
        kernels.near_rows(**good() | change)


@pytest.mark.parametrize(
    ("best", "label", "labels"),
    [(np.float64, np.int64, np.int64), (np.float16, np.int64, np.int64), (np.float32, np.int32, np.int64),
     (np.float32, np.int64, np.int32), ("F", np.int64, np.int64)],
)  # fmt: skip
def test_what_would_be_copied_and_lost_is_an_error(best, label, labels):
    values = np.zeros((3, 2), np.float32, order="F") if best == "F" else np.zeros((3, 2), best)
    reach = kernels.Reach(values, np.zeros(3, label))
    with pytest.raises(TypeError, match="incompatible"):
        kernels.near_rows(**good() | {"reach": reach, "labels": np.zeros(3, labels)})


@each_body
def test_codes_beyond_what_a_body_sums_are_an_error(body):
    x = kernels.quantize(np.zeros((3, 4), np.float32), limit=127)
    change = {"probes": x, "rows": x, "simd": body.name}
    if body.limit < 127:
        with pytest.raises(ValueError, match=f"sums only ±{body.limit}"):
            kernels.near_rows(**good() | change)
    else:
        assert kernels.near_rows(**good() | change) is not None


def test_the_best_body_is_reported_and_the_portable_one_is_always_there():
    assert BODIES[0].name == "scalar"
    assert _core.build_info()["scan"] == BODIES[-1].name

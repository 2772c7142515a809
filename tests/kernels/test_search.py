"""Scan and verdict kernels against their twins and against arithmetic they cannot share."""

from __future__ import annotations

import numpy as np
import pytest

from facecure import kernels

needs_vnni = pytest.mark.skipif(not kernels.has_vnni(), reason="this CPU has no eight-bit products (AVX512-VNNI)")
EXTREMES = np.array([0, -0.0, 1, -1, 1e-45, 1.17549435e-38, 3.3e38, -3.3e38, 0.5, 2**-130], np.float32)


@pytest.mark.parametrize(("rows", "size"), [(0, 5), (1, 1), (3, 2), (7, 33), (20, 512)])
def test_quantising_equals_its_twin(rows, size):
    vectors = np.random.default_rng(rows).standard_normal((rows, size)).astype(np.float32)
    vectors.ravel()[: len(EXTREMES)] = EXTREMES[: vectors.size]
    found, expected = kernels.quantize(vectors), kernels.quantize_numpy(vectors)
    for name in ("codes", "sums", "scale"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    for name in ("square", "lost"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-12)
    codes = found.codes[:, :size]
    assert (abs(codes.astype(int)) <= 127).all()
    assert (found.codes[:, size:] == 0).all()
    # half a step at most, by the definition of rounding
    assert (abs(vectors - found.scale[:, None] * codes) <= 0.5000001 * found.scale[:, None]).all()


def test_quantising_accepts_non_contiguous_vectors():
    wide = np.random.default_rng(1).standard_normal((9, 14)).astype(np.float32)
    expected = kernels.quantize_numpy(wide[::2, ::-2].copy())
    np.testing.assert_array_equal(kernels.quantize(wide[::2, ::-2]).codes, expected.codes)


def fresh(count: int) -> kernels.Reach:
    return kernels.Reach(np.full((count, 2), -np.inf, np.float32), np.full(count, -1))


@needs_vnni
@pytest.mark.parametrize("probes", [1, 7, 31, 32, 33, 300])
@pytest.mark.parametrize(("rows", "size"), [(1, 2), (11, 4), (12, 6), (13, 512), (700, 34)])
def test_near_rows_with_a_fixed_reach_equal_their_twin(probes, rows, size):
    rng = np.random.default_rng([probes, rows])
    x, y = (kernels.quantize(rng.standard_normal((n, size)).astype(np.float32)) for n in (probes, rows))
    error = np.full(probes, 1e-3, np.float32)
    reach = kernels.Reach(rng.standard_normal((probes, 2)).astype(np.float32), np.full(probes, -1))
    expected = kernels.near_rows_numpy(x, y, error, reach)
    for threads in (1, 3):
        found = kernels.near_rows(x, x.packed(), y, error, reach, threads=threads)
        order = np.lexsort(found[1::-1])
        np.testing.assert_array_equal(found[0][order], expected[0])
        np.testing.assert_array_equal(found[1][order], expected[1])
        np.testing.assert_allclose(found[2][order], expected[2], rtol=1e-5, atol=1e-5)


@needs_vnni
@pytest.mark.parametrize("probes", [1, 33, 200])
@pytest.mark.parametrize(("rows", "size"), [(1, 2), (13, 512), (1500, 20)])
def test_near_rows_with_labels_hold_the_best_two_of_every_probe(probes, rows, size):
    rng = np.random.default_rng([probes, rows])
    x, y = (kernels.quantize(rng.standard_normal((n, size)).astype(np.float32)) for n in (probes, rows))
    error = np.full(probes, 1e-3, np.float32)
    labels, own = rng.integers(-1, 9, rows), rng.integers(0, 9, probes)
    reach, twin = fresh(probes), fresh(probes)
    found = kernels.near_rows(x, x.packed(), y, error, reach, labels, own)
    expected = kernels.near_rows_numpy(x, y, error, twin, labels, own)
    np.testing.assert_allclose(reach.best, twin.best, rtol=1e-4, atol=1e-5)
    seen, least = (set(zip(*pairs[:2], strict=True)) for pairs in (found, expected))
    for probe, row in least - seen:  # only on the border, within float32 rounding
        score = expected[2][(expected[0] == probe) & (expected[1] == row)]
        assert abs(score + error[probe] - reach.best[probe]).min() < 1e-4
    assert not (labels[found[1]] == own[found[0]]).any()


@needs_vnni
def test_too_many_near_rows_are_not_held():
    x, y = (kernels.quantize(np.ones((n, 4), np.float32)) for n in (40, 5000))
    error = np.full(40, 1e-3, np.float32)
    assert kernels.near_rows(x, x.packed(), y, error, fresh(40), np.arange(5000), np.full(40, -1), most=1000) is None
    one = kernels.quantize(np.ones((1, 4), np.float32))
    found = kernels.near_rows(x, x.packed(), one, error, fresh(40), np.arange(1), np.full(40, -1), most=0)
    assert found is not None
    assert found[0].tolist() == list(range(40))


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


@needs_vnni
@pytest.mark.parametrize(
    ("change", "message"),
    [({"error": np.zeros(2, np.float32)}, "per probe"), ({"own": np.zeros(2, np.int64)}, "per probe"),
     ({"labels": np.zeros(2, np.int64)}, "per row"), ({"own": None}, "labels come with own"),
     ({"packed": np.zeros((1, 2, 32), np.uint32)}, "packed")],
)  # fmt: skip
def test_wrong_shapes_are_errors(change, message):
    x = kernels.quantize(np.zeros((3, 4), np.float32))
    good = {"probes": x, "packed": x.packed(), "rows": x, "error": np.zeros(3, np.float32), "reach": fresh(3),
            "labels": np.zeros(3, np.int64), "own": np.zeros(3, np.int64)}  # fmt: skip
    with pytest.raises(ValueError, match=message):
        kernels.near_rows(**good | change)

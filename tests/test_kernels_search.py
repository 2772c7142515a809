"""Scan and verdict kernels against their twins and against arithmetic they cannot share."""

from __future__ import annotations

import numpy as np
import pytest

from facecure import kernels

needs_bf16 = pytest.mark.skipif(not kernels.has_bf16(), reason="this CPU does not multiply bfloat16 (AVX512-BF16)")
EXTREMES = np.array(
    [0, -0.0, 1, -1, 1e-45, 1.17549435e-38, 3.3e38, -3.3e38, 1 + 2**-8, 1 + 3 * 2**-8, 2**-130], np.float32
)


@pytest.mark.parametrize(("rows", "size"), [(0, 5), (1, 1), (3, 2), (7, 33), (20, 512)])
def test_rounding_to_bf16_equals_its_twin(rows, size):
    vectors = np.random.default_rng(rows).standard_normal((rows, size)).astype(np.float32)
    vectors.ravel()[: len(EXTREMES)] = EXTREMES[: vectors.size]
    found = kernels.to_bf16(vectors)
    assert found.shape == (rows, size + size % 2)
    np.testing.assert_array_equal(found, kernels.to_bf16_numpy(vectors))


def test_rounding_to_bf16_equals_torch():
    torch = pytest.importorskip("torch")
    bits = np.random.default_rng(0).integers(0, 2**32, 100_000, dtype=np.uint32)
    values = bits.view(np.float32)
    values = values[np.isfinite(values) & (abs(values) < 3.3e38)][None]
    values = values[:, : values.shape[1] // 2 * 2]
    expected = torch.from_numpy(values).bfloat16().view(torch.uint16).numpy()
    np.testing.assert_array_equal(kernels.to_bf16(values), expected)


def test_rounding_accepts_non_contiguous_vectors():
    wide = np.random.default_rng(1).standard_normal((9, 14)).astype(np.float32)
    np.testing.assert_array_equal(kernels.to_bf16(wide[::2, ::-2]), kernels.to_bf16_numpy(wide[::2, ::-2].copy()))


@needs_bf16
@pytest.mark.parametrize("probes", [0, 1, 7, 31, 32, 33, 300])
@pytest.mark.parametrize(("rows", "size"), [(1, 2), (11, 4), (12, 6), (13, 512), (700, 34)])
def test_best_of_segments_lies_within_float32_rounding_of_its_twin(probes, rows, size):
    rng = np.random.default_rng([probes, rows])
    x, y = (kernels.to_bf16(rng.standard_normal((n, size)).astype(np.float32)) for n in (probes, rows))
    half = rng.standard_normal(rows).astype(np.float32)
    starts = np.unique(np.concatenate([[0], rng.integers(0, rows, 9)]))
    for threads in (1, 3):
        found = kernels.segment_best(x, y, half, starts, threads=threads)
        expected = kernels.segment_best_numpy(x, y, half, starts)
        # two float32 sums of `size` products of standard normal values, each within size·u of the true one
        np.testing.assert_allclose(found, expected, atol=2 * size * 2.0**-24 * size * 4)


@needs_bf16
def test_best_of_segments_is_exact_on_small_integers():
    rng = np.random.default_rng(0)
    x, y = (rng.integers(-8, 9, (n, 40)).astype(np.float32) for n in (50, 90))
    starts = np.array([0, 1, 1, 30, 89])
    found = kernels.segment_best(kernels.to_bf16(x), kernels.to_bf16(y), np.zeros(90, np.float32), starts)
    scores = x.astype(int) @ y.astype(int).T
    expected = [scores[:, low:high].max(axis=1, initial=-(10**6)) for low, high in ((0, 1), (1, 1), (1, 30), (30, 89))]
    np.testing.assert_array_equal(found[:, [0, 2, 3]], np.array(expected)[[0, 2, 3]].T)
    assert (found[:, 1] == -np.inf).all()


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


@pytest.mark.parametrize("starts", [np.array([1]), np.array([0, 4]), np.array([0, 2, 1])])
@needs_bf16
def test_wrong_segments_are_errors(starts):
    x = np.zeros((3, 4), np.uint16)
    with pytest.raises(ValueError, match=r"start|ascend"):
        kernels.segment_best(x, x, np.zeros(3, np.float32), starts)

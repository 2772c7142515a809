"""Every fast search returns exactly the rows of the definition, and the definition those of independent references."""

from __future__ import annotations

import sys
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn.neighbors import NearestNeighbors

from facecure.errors import InputError, MissingDependency
from facecure.execution import torch_device
from facecure.kernels import Reach, near_rows, scan_bodies
from facecure.search import exact, faiss, masked
from facecure.search import scan as scans
from facecure.search.bounds import Rows
from facecure.search.scan_torch import scan_torch

KINDS = ("random", "unit", "integers", "duplicates", "near-ties", "huge", "tiny", "wide range", "zero")


def vectors(kind: str, rng: np.random.Generator, probes: int, rows: int, size: int):
    """Return float32 probes and rows of a kind that strains ties, rounding or range."""
    x, y = rng.standard_normal((probes, size)), rng.standard_normal((rows, size))
    if kind == "unit":
        x, y = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (x, y))
    elif kind == "integers":  # many exact ties between different rows
        x, y = rng.integers(-1, 2, x.shape), rng.integers(-1, 2, y.shape)
    elif kind == "duplicates":
        few = rng.standard_normal((4, size))
        x, y = few[rng.integers(0, 4, probes)], few[rng.integers(0, 4, rows)]
    elif kind == "near-ties":  # closer together than float32 scores resolve
        centre = rng.standard_normal(size)
        x, y = centre + 1e-6 * x, centre + 1e-6 * y
    elif kind in ("huge", "tiny"):
        x, y = (v * (1e30 if kind == "huge" else 1e-38) for v in (x, y))
    elif kind == "wide range":
        x, y = (v * 10.0 ** rng.integers(-20, 10, (len(v), 1)) for v in (x, y))
    elif kind == "zero":
        x, y = 0 * x, 0 * y
    return x.astype(np.float32), y.astype(np.float32)


def cases(count: int) -> list:
    rng = np.random.default_rng(7)
    found = []
    for number in range(count):
        shape = [int(rng.integers(low, high)) for low, high in ((0, 40), (1, 300), (1, 70))]
        kind = KINDS[number % len(KINDS)]
        found.append(pytest.param(kind, *shape, number, id=f"{number}-{kind}"))
    return found


@pytest.fixture(params=[*(body.name for body in scan_bodies()), "torch"])
def scan(request, monkeypatch):
    """Every scan that this CPU can run, and that of other devices, run on the CPU."""
    if request.param == "torch":
        torch = pytest.importorskip("torch")

        def on_torch(x, y, reach, labels=None, own=None, device=""):
            return scan_torch(x[:], y, reach, labels, own, scans.BLOCK_BYTES, torch.device("cpu"))

        monkeypatch.setattr(masked, "scan", on_torch)
    else:
        chosen = tuple(body for body in scan_bodies() if body.name == request.param)
        monkeypatch.setattr(scans, "scan_bodies", lambda: chosen)


def in_blocks(size: int, search, *arguments):
    """Return what a search answers with so many bytes of working memory; a list of what it yields."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scans, "BLOCK_BYTES", size)
        answer = search(*arguments)
        return answer if isinstance(answer, exact.Rivals) else list(answer)


def assert_same(found: exact.Nearest, expected: exact.Nearest):
    np.testing.assert_array_equal(found.row, expected.row)
    np.testing.assert_array_equal(found.distance, expected.distance)


@pytest.mark.parametrize(("kind", "probes", "rows", "size", "seed"), cases(90))
@pytest.mark.usefixtures("scan")
def test_rivals_equal_the_definition(kind, probes, rows, size, seed):
    rng = np.random.default_rng(seed)
    x, y = vectors(kind, rng, probes, rows, size)
    labels = rng.integers(0, 12, probes)
    row_labels = rng.integers(exact.DISTRACTOR, 12, rows)
    if seed % 3:  # the usual order: identities together, distractors last
        row_labels = np.concatenate([np.sort(row_labels[row_labels >= 0]), row_labels[row_labels < 0]])
    expected = exact.rivals(x, labels, y, row_labels)
    for block_bytes in (1, 4096, scans.BLOCK_BYTES):
        found = in_blocks(block_bytes, masked.rivals, x, labels, y, row_labels)
        for name in ("mate", "impostor", "second"):
            assert_same(getattr(found, name), getattr(expected, name))
        np.testing.assert_array_equal(found.impostor_label, expected.impostor_label)
    index = rng.permutation(rows)[: max(1, rows // 2)]  # a gallery within a table
    expected = exact.rivals(x, labels, y[index], row_labels[index])
    found = in_blocks(4096, masked.rivals, x, labels, Rows(y, index), row_labels[index])
    for name in ("mate", "impostor", "second"):
        assert_same(getattr(found, name), getattr(expected, name))


@pytest.mark.parametrize("spread", [0, 1, 1e-7])
@pytest.mark.usefixtures("scan")
def test_thousands_of_near_ties_stay_exact_in_little_memory(spread, monkeypatch):
    """All rows equal; rows one unit in the last place from the mate; thousands of impostors within 1e-7."""
    monkeypatch.setattr(masked, "_PAIRS", 5000)
    rng = np.random.default_rng(11)
    mate = rng.standard_normal(24).astype(np.float32)
    mate /= np.linalg.norm(mate)
    y = np.repeat(mate[None], 3000, axis=0)
    if spread == 1:
        y = np.nextafter(y, rng.choice([-9, 0, 9], y.shape).astype(np.float32) + y)
    elif spread:
        y = (y + spread * rng.standard_normal(y.shape)).astype(np.float32)
    x = np.concatenate([y[::300], mate[None], -mate[None]])
    labels, row_labels = rng.integers(0, 300, len(x)), np.sort(rng.integers(exact.DISTRACTOR, 300, len(y)))
    expected = exact.rivals(x, labels, y, row_labels)
    found = in_blocks(1 << 14, masked.rivals, x, labels, y, row_labels)
    for name in ("mate", "impostor", "second"):
        assert_same(getattr(found, name), getattr(expected, name))
    np.testing.assert_array_equal(found.impostor_label, expected.impostor_label)
    starts = np.arange(0, 3000, 7)
    ((_, inside),) = in_blocks(1 << 14, masked.closer, x, expected.mate.distance, y, starts)
    np.testing.assert_array_equal(inside, np.vstack([i for _, i in exact.closer(x, expected.mate.distance, y, starts)]))


@pytest.mark.parametrize("size", [1, 3, 16, 17, 33, 515, 1 << 17])
@pytest.mark.usefixtures("scan")
def test_any_size_of_vector_and_sums_at_their_limits(size):
    """All codes at ±limit, so that every sum is as large as it gets."""
    rng = np.random.default_rng(size)
    y = rng.choice([-1.0, 1.0], (7, size)).astype(np.float32)
    y[0], y[1] = 1, -1
    x = np.concatenate([y[:3], -y[2:3]])
    labels, row_labels = np.arange(4), np.array([0, 1, 2, 3, 0, 1, exact.DISTRACTOR])
    found, expected = masked.rivals(x, labels, y, row_labels), exact.rivals(x, labels, y, row_labels)
    for name in ("mate", "impostor", "second"):
        assert_same(getattr(found, name), getattr(expected, name))


@pytest.mark.usefixtures("scan")
def test_steps_shrink_where_rows_tie_and_grow_again(monkeypatch):
    monkeypatch.setattr(scans, "_PAIR_BYTES", 1 << 12)
    counts = []

    def counted(x, y, *rest, **options):
        found = near_rows(x, y, *rest, **options)
        counts.append(len(y.scale) if found is not None else -len(y.scale))
        return found

    monkeypatch.setattr(scans, "near_rows", counted)
    rng = np.random.default_rng(5)
    same = np.repeat(rng.standard_normal((1, 8)), 600, axis=0)
    y = np.concatenate([same, rng.standard_normal((6000, 8))]).astype(np.float32)
    x = (same[:40] + 0.01 * rng.standard_normal((40, 8))).astype(np.float32)
    labels, row_labels = np.full(40, 7), np.full(len(y), exact.DISTRACTOR)
    found, expected = (
        in_blocks(1 << 17, masked.rivals, x, labels, y, row_labels),
        exact.rivals(x, labels, y, row_labels),
    )
    for name in ("mate", "impostor", "second"):
        assert_same(getattr(found, name), getattr(expected, name))
    if counts:  # not torch, whose steps are fixed
        assert min(counts) < 0
        smallest = min(count for count in counts if count > 0)
        assert max(counts[counts.index(smallest) :]) > 2 * smallest
        assert sum(count for count in counts if count > 0) == len(y)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", ["probe", "gallery"])
@pytest.mark.usefixtures("scan")
def test_a_value_that_is_not_finite_is_an_error_that_names_its_row(value, where):
    rng = np.random.default_rng(0)
    x, y = (rng.standard_normal((n, 8)).astype(np.float32) for n in (5, 50))
    bad, row = (x, 3) if where == "probe" else (y, 17)
    bad[row, 3] = value
    with pytest.raises(InputError, match=f"row {row} of the {where} vectors .* not finite"):
        masked.rivals(x, np.zeros(5, np.int64), y, np.arange(50) % 7)
    with pytest.raises(InputError, match=f"row {row} of the {where} vectors .* not finite"):
        next(masked.closer(x, np.ones(5), y, np.array([0, 9])))
    groups = [np.arange(5)], [np.arange(50)]
    with pytest.raises(InputError, match=f"{'probe' if where == 'probe' else 'row'} {row} .* not finite"):
        masked.mates(x, groups[0], y, groups[1])


def test_vectors_too_long_for_the_proof_are_an_error():
    x = np.ones((2, (1 << 17) + 1), np.float32)
    with pytest.raises(InputError, match="up to 131072"):
        masked.rivals(x, np.arange(2), x, np.arange(2))


def test_labels_of_another_kind_are_understood():
    rng = np.random.default_rng(4)
    x, y = (rng.standard_normal((n, 8)).astype(np.float32) for n in (9, 90))
    labels, row_labels = np.arange(9), np.arange(90) % 11
    expected = exact.rivals(x, labels, y, row_labels)
    found = masked.rivals(x, labels.astype(np.int32), y, np.repeat(row_labels, 2).astype(np.int32)[::2])
    for name in ("mate", "impostor", "second"):
        assert_same(getattr(found, name), getattr(expected, name))


@pytest.mark.parametrize(("kind", "probes", "rows", "size", "seed"), cases(45))
def test_mates_equal_the_definition(kind, probes, rows, size, seed):
    rng = np.random.default_rng(seed)
    x, y = vectors(kind, rng, probes, rows, size)
    probe_groups = [rng.integers(0, probes, rng.integers(0, 5)) if probes else np.empty(0, int) for _ in range(6)]
    row_groups = [rng.permutation(rows)[: rng.integers(0, 9)] for _ in range(6)]
    for found, expected in zip(
        masked.mates(x, probe_groups, y, row_groups), exact.mates(x, probe_groups, y, row_groups), strict=True
    ):
        assert_same(found, expected)


@pytest.mark.parametrize(("kind", "probes", "rows", "size", "seed"), cases(45))
@pytest.mark.usefixtures("scan")
def test_closer_equals_the_definition(kind, probes, rows, size, seed):
    rng = np.random.default_rng(seed)
    x, y = vectors(kind, rng, probes, rows, size)
    starts = np.unique(np.concatenate([[0], rng.integers(0, rows, 5)]))
    # radii that some row meets exactly, none, and all
    radius = np.array([exact.squared_distances(y[rng.integers(0, rows, 1)], q[None])[0] for q in x])
    radius[::5], radius[1::5] = 0, np.inf
    expected = [inside for _, inside in exact.closer(x, radius, y, starts)]
    for block_bytes in (1, 4096, scans.BLOCK_BYTES):
        found = [inside for _, inside in in_blocks(block_bytes, masked.closer, x, radius, y, starts)]
        np.testing.assert_array_equal(np.vstack([np.empty((0, len(starts))), *found]),
                                      np.vstack([np.empty((0, len(starts))), *expected]))  # fmt: skip
    index = rng.permutation(rows)[: max(1, rows // 2)]  # a gallery within a table
    starts = starts[starts < len(index)]
    expected = [inside for _, inside in exact.closer(x, radius, y[index], starts)]
    found = [inside for _, inside in in_blocks(4096, masked.closer, x, radius, Rows(y, index), starts)]
    np.testing.assert_array_equal(np.vstack([np.empty((0, len(starts))), *found]),
                                  np.vstack([np.empty((0, len(starts))), *expected]))  # fmt: skip
    order = rng.permutation(probes)[: probes // 2 + 1]  # and probes within one
    found = [inside for _, inside in masked.closer(Rows(x, order), radius[order], Rows(y, index), starts)]
    np.testing.assert_array_equal(np.vstack([np.empty((0, len(starts))), *found]),
                                  np.vstack([np.empty((0, len(starts))), *expected])[order])  # fmt: skip


@pytest.mark.parametrize(("kind", "probes", "rows", "size", "seed"), cases(45))
def test_faiss_equals_the_definition(kind, probes, rows, size, seed):
    x, y = vectors(kind, np.random.default_rng(seed), probes, rows, size)
    for k in {1, min(5, rows), rows}:
        for found, expected in zip(faiss.knn(x, y, k), exact.knn(x, y, k), strict=True):
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("block", [1, 100, 1 << 22])
def test_definition_equals_rational_arithmetic(block):
    rng = np.random.default_rng(0)
    x, y = rng.integers(-2, 3, (9, 3)).astype(np.float32), rng.integers(-2, 3, (31, 3)).astype(np.float32)
    distance, row = exact.knn(x, y, 4, block)
    for i, probe in enumerate(x.tolist()):
        pairs = sorted(
            (sum((Fraction(a) - Fraction(b)) ** 2 for a, b in zip(probe, other, strict=True)), j)
            for j, other in enumerate(y.tolist())
        )
        assert [(Fraction(d), r) for d, r in zip(distance[i], row[i].tolist(), strict=True)] == pairs[:4]


def test_definition_equals_scikit_learn_without_ties():
    rng = np.random.default_rng(1)
    x, y = (rng.standard_normal((n, 33)).astype(np.float32) for n in (50, 400))
    distance, row = exact.knn(x, y, 7)
    reference = NearestNeighbors(n_neighbors=7).fit(y.astype(np.float64)).kneighbors(x.astype(np.float64))
    np.testing.assert_array_equal(row, reference[1])
    np.testing.assert_allclose(np.sqrt(distance), reference[0], rtol=1e-12)


@pytest.mark.parametrize("knn", [exact.knn, faiss.knn], ids=["exact", "faiss"])
@pytest.mark.parametrize("k", [0, 4])
def test_k_outside_the_gallery_is_an_error(knn, k):
    with pytest.raises(InputError, match=r"k must lie in 1…3"):
        knn(np.zeros((1, 2), np.float32), np.zeros((3, 2), np.float32), k)


def test_missing_faiss_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(MissingDependency, match=r"facecure\[cpu\]"):
        faiss.knn(np.zeros((1, 2), np.float32), np.zeros((3, 2), np.float32), 1)


def test_nobody_to_search_for_gives_empty_results():
    nothing, rows = np.empty((0, 4), np.float32), np.ones((3, 4), np.float32)
    found = masked.rivals(nothing, np.empty(0, np.int64), rows, np.arange(3))
    assert len(found.mate.row) == len(found.second.distance) == len(found.impostor_label) == 0
    alone = masked.rivals(rows, np.arange(3), nothing, np.empty(0, np.int64))
    assert (alone.impostor.row == -1).all()
    assert np.isinf(alone.mate.distance).all()


def test_non_contiguous_vectors_are_searched_as_they_are():
    rng = np.random.default_rng(3)
    wide = rng.standard_normal((60, 20)).astype(np.float32)
    x, y = wide[::2, ::2], wide[1::2, 1::2]
    labels = np.arange(30) % 5
    found = masked.rivals(x, labels, y, np.sort(labels))
    expected = exact.rivals(x.copy(), labels, y.copy(), np.sort(labels))
    assert_same(found.impostor, expected.impostor)


def test_a_reduced_float32_precision_of_the_process_does_not_reach_the_scan():
    torch = pytest.importorskip("torch")
    before = torch.get_float32_matmul_precision()
    rng = np.random.default_rng(3)
    x, y = vectors("unit", rng, 40, 300, 64)
    labels, row_labels = rng.integers(0, 12, 40), rng.integers(0, 12, 300)
    seen = []
    multiply = torch.Tensor.__matmul__

    def watched(a, b):
        seen.append((torch.backends.cuda.matmul.fp32_precision, torch.backends.mkldnn.matmul.fp32_precision))
        return multiply(a, b)

    try:
        torch.set_float32_matmul_precision("medium")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch.Tensor, "__matmul__", watched)
            reach = Reach(np.full((40, 2), -np.inf, np.float32), np.full(40, exact.DISTRACTOR))
            list(scan_torch(x, Rows(y), reach, row_labels, labels, 4096, torch.device("cpu")))
        assert set(seen) == {("ieee", "ieee")}
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)


def test_a_device_that_is_not_there_is_an_error():
    torch = pytest.importorskip("torch")
    with pytest.raises(InputError, match="'nowhere' cannot be used"):
        torch_device("nowhere")
    if not torch.cuda.is_available():
        with pytest.raises(InputError, match="'cuda' cannot be used"):
            torch_device("cuda")


@pytest.mark.gpu
def test_the_scan_on_a_gpu_equals_the_definition():
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device is visible")
    for seed, kind in enumerate(KINDS):
        rng = np.random.default_rng(seed)
        x, y = vectors(kind, rng, 33, 290, 64)
        labels, row_labels = rng.integers(0, 12, 33), rng.integers(exact.DISTRACTOR, 12, 290)
        expected = exact.rivals(x, labels, y, row_labels)
        found = masked.rivals(x, labels, y, row_labels, device="cuda")
        for name in ("mate", "impostor", "second"):
            assert_same(getattr(found, name), getattr(expected, name))


@given(st.integers(0, 9), st.integers(0, 40), st.integers(1, 5), st.data())
@settings(max_examples=80, deadline=None)
def test_any_small_gallery_has_the_definitions_rivals(probes, rows, size, data):
    """Few different values, so that nearly every search ends in a tie."""
    values = st.sampled_from(np.array([-1, 0, 1, 1 + 2**-20], np.float32))
    x = data.draw(arrays.arrays(np.float32, (probes, size), elements=values))
    y = data.draw(arrays.arrays(np.float32, (rows, size), elements=values))
    labels = data.draw(arrays.arrays(np.int64, probes, elements=st.integers(0, 3)))
    row_labels = data.draw(arrays.arrays(np.int64, rows, elements=st.integers(exact.DISTRACTOR, 3)))
    found, expected = in_blocks(256, masked.rivals, x, labels, y, row_labels), exact.rivals(x, labels, y, row_labels)
    for name in ("mate", "impostor", "second"):
        assert_same(getattr(found, name), getattr(expected, name))
    np.testing.assert_array_equal(found.impostor_label, expected.impostor_label)

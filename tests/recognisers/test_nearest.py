"""The one pass equals the rebuild of gallery and classifier for each protected identity."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facecure.protocols.split import make_split
from facecure.recognisers.nearest import population
from facecure.types import Embeddings, Sample

from ..references.nearest import lexicographic, literal


def crowd(rng: np.random.Generator, people: int, most: int, *, distractors: int = 0) -> list[Sample]:
    """Return samples with uneven counts; two cloaks, the second for half of the people and with own clean copies."""
    samples: list[Sample] = []
    for i in range(people):
        count = int(rng.integers(1, most + 1))
        roles = [("clean", ""), ("cloaked", "x")] + [("cloaked", "y"), ("unprotected", "y")] * (i % 2)
        for role, cloak in roles:
            keys = [k for k in range(count) if role == "clean" or rng.random() < 0.9]
            samples += [Sample(f"p{i:03}", Path(f"{k:03}"), f"{k:03}", role, cloak) for k in keys]
    return samples + [Sample(f"d{i:03}", Path("0"), "0", "distractor") for i in range(distractors)]


def embeddings(kind: str, rng: np.random.Generator, samples: list[Sample], size: int) -> np.ndarray:
    """Return float32 vectors clustered by person; `ties` on a coarse grid with exact duplicates across people."""
    centres = {name: rng.standard_normal(size) for name in sorted({s.identity for s in samples})}
    noise = {"clean": 0.6, "distractor": 0.6, "unprotected": 0.6, "cloaked": 1.2}
    vectors = np.stack([centres[s.identity] + noise[s.role] * rng.standard_normal(size) for s in samples])
    if kind == "ties":
        vectors = np.round(vectors / 1.5)
        copied = rng.integers(0, len(vectors), len(vectors) // 4)
        vectors[rng.integers(0, len(vectors), len(copied))] = vectors[copied]
    elif kind == "unit":
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32)


def check(vectors, split, reference):
    """Compare every count of every protected identity with a rebuild, outcome by outcome."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("facecure.search.scan.BLOCK_BYTES", 1 << 16)  # several blocks
        answers = population(Embeddings(vectors, "d"), split)
    for cloak, outcomes in answers.items():
        assert len(outcomes) == len(split.protected[cloak])
        for person, outcome in zip(split.protected[cloak], outcomes, strict=True):
            if not len(person.cloaked):
                assert outcome.identified == outcome.enrolled == 0
                continue
            expected = reference(vectors, split, person)
            assert outcome.identity == person.identity
            assert (outcome.probes, outcome.identified) == (len(person.probes), expected["probes"].sum())
            assert outcome.clean_identified == expected["clean"].sum()
            assert (outcome.enrolled, outcome.enrolled_identified) == (len(person.cloaked), expected["enrolled"].sum())
            assert outcome.control_probes == len(expected["controls"])
            assert outcome.control_errors == (~expected["controls"]).sum()


@pytest.mark.parametrize("protocol", ["corrected", "facecure-2021"])
@pytest.mark.parametrize("seed", range(4))
def test_one_pass_equals_scikit_learn_for_every_identity(protocol, seed):
    rng = np.random.default_rng(seed)
    samples = crowd(rng, people=14, most=13, distractors=5 * seed)
    vectors = embeddings("unit" if seed % 2 else "raw", rng, samples, size=int(rng.integers(2, 24)))
    check(vectors, make_split(samples, ["x", "y"], protocol, seed, 0), literal)


@pytest.mark.parametrize("protocol", ["corrected", "facecure-2021"])
@pytest.mark.parametrize("seed", range(6))
def test_one_pass_equals_lexicographic_rebuild_with_duplicates_and_ties(protocol, seed):
    rng = np.random.default_rng(100 + seed)
    samples = crowd(rng, people=10, most=12, distractors=3 * seed)
    vectors = embeddings("ties", rng, samples, size=int(rng.integers(1, 6)))
    check(vectors, make_split(samples, ["x", "y"], protocol, seed, 0), lexicographic)


def test_the_two_references_agree_where_nothing_ties():
    rng = np.random.default_rng(5)
    samples = crowd(rng, people=6, most=9, distractors=4)
    vectors = embeddings("raw", rng, samples, size=8)
    split = make_split(samples, ["x"], "corrected", 0, 0)
    for person in split.protected["x"]:
        if len(person.cloaked):
            one, other = literal(vectors, split, person), lexicographic(vectors, split, person)
            for name in one:
                np.testing.assert_array_equal(one[name], other[name])


def small_run(cloaked: list[list[float]], *, stranger: list[float]) -> tuple[np.ndarray, object]:
    """Return vectors and a split: person 0 has probe (0, 0) and the given cloaked rows, person 1 the row `stranger`."""
    from facecure.protocols.split import Protected, Split

    rows = np.arange(3, 3 + len(cloaked))
    vectors = np.array([[0, 0], stranger, [9, 9], *cloaked], np.float32)
    person = Protected("a", 0, np.array([0]), np.full(len(cloaked), 2), rows)
    one = np.array([1])
    split = Split(one, one, np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.int64), {"x": (person,)})
    return vectors, split


@pytest.mark.parametrize(
    ("cloaked", "stranger", "identified", "revealed_by"),
    [
        ([[1, 0], [3, 0]], [2, 0], 1, ((3, 1, 1),)),  # the first cloak alone is nearer than the stranger
        ([[1, 0], [0, 1]], [2, 0], 1, ((3, 1, 0),)),  # two are: the earlier one answers, neither is alone
        ([[2, 0], [3, 0]], [0, 2], 0, ()),  # at equal distance the stranger wins
        ([[5, 0]], [2, 0], 0, ()),
    ],
)
def test_who_reveals_the_person(cloaked, stranger, identified, revealed_by):
    vectors, split = small_run(cloaked, stranger=stranger)
    (outcome,) = population(Embeddings(vectors, "d"), split)["x"]
    assert outcome.identified == identified
    assert outcome.revealed_by == revealed_by


@pytest.mark.parametrize(("place", "value", "enrolled"), [(0, 0, 0), (99, 0, 0), (3, 1, 1), (99, 1, 1)])
def test_an_enrolled_row_finds_itself_unless_all_of_a_strangers_equals_it(place, value, enrolled):
    """Wherever in the row the difference lies."""
    cloaked = np.zeros(100)
    cloaked[place] = value
    vectors, split = small_run([[1, 0]], stranger=[1, 0])
    wide = np.zeros((len(vectors), 100), np.float32)
    wide[3] = cloaked
    wide[1] = -0.0
    (outcome,) = population(Embeddings(wide, "d"), split)["x"]
    assert outcome.enrolled_identified == enrolled


def test_revealing_rows_account_for_every_identified_probe():
    rng = np.random.default_rng(8)
    samples = crowd(rng, people=12, most=20)
    vectors = embeddings("raw", rng, samples, size=6)
    split = make_split(samples, ["x"], "corrected", 0, 0)
    for person, outcome in zip(split.protected["x"], population(Embeddings(vectors, "d"), split)["x"], strict=True):
        assert sum(count for _, count, _ in outcome.revealed_by) == outcome.identified
        assert {row for row, *_ in outcome.revealed_by} <= set(person.cloaked.tolist())
        for row, _, alone in outcome.revealed_by:  # recount without that picture
            rest = [r for r in person.cloaked if r != row]
            if rest:
                fewer = type(person)(person.identity, person.label, person.probes, person.clean[:0], np.array(rest))
                assert lexicographic(vectors, split, fewer)["probes"].sum() == outcome.identified - alone


@pytest.mark.shared
@pytest.mark.slow
def test_one_pass_equals_scikit_learn_on_real_embeddings(assets, real_embeddings):
    samples, vectors = real_embeddings
    cloaks = sorted({s.cloak for s in samples if s.role == "cloaked"})
    for protocol in ("corrected", "facecure-2021"):
        check(vectors, make_split(samples, cloaks, protocol, 0, 0), literal)

"""Fitting all people together equals scikit-learn, refitted for each protected identity."""

from __future__ import annotations

import builtins
import warnings
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from facecure.errors import InputError, MissingDependency
from facecure.protocols.split import Protected, Split, make_split
from facecure.recognisers.linear import Linear
from facecure.recognisers.logistic import exact, released
from facecure.recognisers.logistic.bound import bound
from facecure.recognisers.logistic.multinomial import Problems, evaluate, minimise
from facecure.recognisers.logistic.released import TrainingSet
from facecure.threads import thread_limit
from facecure.types import Embeddings, Sample


def linear(vectors, split, protocol):
    """Return what the recogniser answers to one split, and how its fits ended."""
    recogniser = Linear(Embeddings(vectors, "d"), protocol)
    return recogniser(split), recogniser.facts


def run(people=6, pictures=7, size=5, *, noise=0.8, seed=0, cloaks=("x",), unprotected=(), protocol="corrected"):
    """Return float32 unit vectors clustered by person, every second person's cloaks towards the next, and a split."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((people + 1, size))
    samples, vectors = [], []
    for i in range(people):
        roles = [("clean", "")] + [(r, c) for c in cloaks for r in ("cloaked", "unprotected")[: 1 + (c in unprotected)]]
        for role, cloak in roles:
            for k in range(pictures):
                samples.append(Sample(f"p{i:02}", Path(f"{k:02}"), f"{k:02}", role, cloak))
                away = 0.6 * (i % 2) * (centres[i + 1] - centres[i]) if role == "cloaked" else 0
                vectors.append(centres[i] + away + noise * rng.standard_normal(size))
    table = np.array(vectors)
    table /= np.linalg.norm(table, axis=1, keepdims=True)
    return table.astype(np.float32), make_split(samples, list(cloaks), protocol, seed, 0)


def refit(vectors, split, label, own, asked, **how):
    """Return scikit-learn's model of a person's own rows among other people's, and whom it takes rows for."""
    others = split.enrolled_labels != label
    rows = np.concatenate([split.enrolled[others], own])
    classes = np.concatenate([split.enrolled_labels[others], np.full(len(own), label)])
    with threadpool_limits(1):
        model = make_pipeline(StandardScaler(), LogisticRegression(random_state=0, **how)).fit(vectors[rows], classes)
        return model, model.predict(vectors[asked]) if len(asked) else np.empty(0, np.int64)


def converged(vectors, split, label, own, asked):
    """Return where scikit-learn ends in float64 if let alone, and whom it takes rows for."""
    return refit(vectors.astype(np.float64), split, label, own, asked, max_iter=10_000, tol=1e-10)


def check(vectors, split, outcomes, reference):
    """Compare every count of every protected identity with a refit."""
    for cloak, group in split.protected.items():
        assert [o.identity for o in outcomes[cloak]] == [person.identity for person in group]
        for person, outcome in zip(group, outcomes[cloak], strict=True):
            assert outcome.probes == len(person.probes)
            assert outcome.probe_rows == tuple(person.probes)
            assert outcome.revealed_by == ()
            if not len(person.cloaked):
                assert outcome.identified == outcome.clean_identified == outcome.enrolled == outcome.control_probes == 0
                continue
            other = split.control_labels != person.label
            controls = split.controls[other]
            asked = np.concatenate([person.probes, person.cloaked, controls])
            _, found = reference(vectors, split, person.label, person.cloaked, asked)
            probes, cloaked, rest = np.split(found, np.cumsum([len(person.probes), len(person.cloaked)]))
            assert outcome.identified_rows == tuple(person.probes[probes == person.label])
            assert outcome.identified == (probes == person.label).sum()
            assert (outcome.enrolled, outcome.enrolled_identified) == (len(cloaked), (cloaked == person.label).sum())
            assert outcome.control_probes == len(rest)
            assert outcome.control_errors == (rest != split.control_labels[other]).sum()
            _, clean = reference(vectors, split, person.label, person.clean, person.probes)
            assert outcome.clean_identified == (clean == person.label).sum()


def without(split, number, **parts):
    """Return the split with parts of one person under cloak x replaced."""
    group = list(split.protected["x"])
    group[number] = replace(group[number], **parts)
    return replace(split, protected={**split.protected, "x": tuple(group)})


def cases():
    none = np.empty(0, np.int64)
    yield "many people", run(people=12, pictures=6, size=9)
    yield "more columns than rows", run(people=4, pictures=4, size=40)
    yield "hard", run(people=8, pictures=10, size=4, noise=2)
    yield "easy", run(people=8, pictures=5, size=16, noise=0.05)
    yield "two people", run(people=2, pictures=6)
    yield (
        "two people, one protected",
        (lambda v, s: (v, replace(s, protected={"x": s.protected["x"][1:]})))(*run(people=2, pictures=6)),
    )
    vectors, split = run(seed=1)
    person = split.protected["x"][1]
    one = without(split, 1, cloaked=person.cloaked[:1], clean=person.clean[:1])
    yield "one cloaked picture", (vectors, one)
    yield "one person, one cloaked picture", (vectors, replace(one, protected={"x": one.protected["x"][1:2]}))
    yield "no probe", (vectors, without(split, 2, probes=none))
    yield "no cloaked picture", (vectors, without(split, 3, cloaked=none, clean=none))
    constant = vectors.copy()
    constant[:, 2] = 0.1
    yield "constant column", (constant, split)
    nearly = constant.copy()
    nearly[person.cloaked[0], 2] = 0.5
    yield "column that varies in one cloak alone", (nearly, split)
    twice = vectors.copy()
    twice[split.enrolled[1]] = twice[split.enrolled[0]]
    twice[split.enrolled[-1]] = twice[split.enrolled[0]]
    twice[person.cloaked[1]] = twice[person.cloaked[0]]
    yield "equal rows, within and across people", (twice, split)
    stranger = split.enrolled_labels != person.label
    hidden = replace(split, enrolled=split.enrolled[stranger], enrolled_labels=split.enrolled_labels[stranger])
    yield "enrolled cloaked only", (vectors, hidden)
    yield "several cloaks", run(people=5, pictures=8, cloaks=("x", "y", "z"), seed=2)
    yield "clean counterparts of their own", run(people=5, pictures=8, cloaks=("x", "y"), unprotected=("y",), seed=3)


CASES = dict(cases())


@pytest.mark.parametrize("name", CASES)
def test_corrected_equals_a_converged_refit_for_every_identity(name):
    vectors, split = CASES[name]
    outcomes, convergence = linear(vectors, split, "corrected")
    check(vectors, split, outcomes, converged)
    assert convergence.undecided == 0
    assert convergence.converged == convergence.fits
    assert convergence.iterations < 15


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("block", [1, 1 << 14, 1 << 30])
def test_every_label_is_that_of_a_converged_refit_whatever_the_blocks(monkeypatch, many_cpus, threads, block):
    monkeypatch.setattr(exact, "_BLOCK_BYTES", block)
    with thread_limit(threads):
        check_labels(*run(people=9, pictures=8, size=6, noise=1, seed=4))


@pytest.mark.parametrize("seed", range(4))
def test_every_label_of_two_people_is_that_of_a_converged_refit(seed):
    check_labels(*run(people=2, pictures=20, size=20, noise=2, seed=seed))


def check_labels(vectors, split):
    """Compare whom each person's training sets take every row of the table for."""
    asked = np.arange(len(vectors))
    sets = [TrainingSet(p.label, own, asked) for p in split.protected["x"] for own in (p.cloaked, p.clean, p.clean[1:])]
    fits = exact.fit_exactly(vectors, split.enrolled, split.enrolled_labels, sets)
    for each, fit in zip(sets, fits, strict=True):
        assert fit.undecided == 0
        assert fit.converged
        np.testing.assert_array_equal(fit.labels, converged(vectors, split, each.label, each.own, asked)[1])


def problem(people, size, seed):
    """Return one training set, standardised by scikit-learn, and its model let alone."""
    vectors, split = run(people=people, pictures=8, size=size, noise=1, seed=seed)
    label = split.protected["x"][0].label
    own = split.enrolled[split.enrolled_labels == label]
    model, _ = converged(vectors, split, label, own, own[:0])
    rows = np.concatenate([split.enrolled[split.enrolled_labels != label], own])
    x = torch.from_numpy(np.column_stack([model[0].transform(vectors[rows].astype(np.float64)), np.ones(len(rows))]))
    classes = torch.from_numpy(np.concatenate([split.enrolled_labels[split.enrolled_labels != label], own * 0 + label]))
    penalty = torch.ones(1, size + 1, dtype=torch.float64)
    penalty[:, -1] = 0
    return Problems(x, x.float(), classes, torch.ones(1, len(x), dtype=torch.float64), penalty), model[1]


def walk(problems, people, until):
    """Return the points that minimising from 0 passes, the last one with gradient norm `until`."""
    points = []

    def settled(_, point, number):
        points.append(point)
        return torch.linalg.vector_norm(point.gradient, dim=(0, 2)) <= until

    start = torch.zeros(people, 1, problems.features.shape[1], dtype=torch.float64)
    minimise(problems, start, None, settled)
    return points


@pytest.mark.parametrize(("people", "size"), [(3, 4), (7, 12), (10, 90)])
def test_weights_are_scikit_learns(people, size):
    problems, model = problem(people, size, seed=people)
    *_, found = walk(problems, people, 1e-9)
    theirs = torch.from_numpy(np.column_stack([model.coef_, model.intercept_]))[:, None]
    expected = evaluate(problems, theirs - theirs.mean(0), found.steps)
    # the loss is strongly convex in the weights: the way between two points is no longer than their gradients
    difference = torch.linalg.vector_norm((found.weights - expected.weights)[..., :-1])
    assert difference <= torch.linalg.vector_norm(found.gradient) + 2 * torch.linalg.vector_norm(expected.gradient)
    np.testing.assert_allclose(found.weights, expected.weights, atol=1e-5)
    assert found.loss <= expected.loss + 1e-12


@pytest.mark.parametrize(("people", "size"), [(2, 3), (3, 4), (7, 12), (10, 90)])
def test_no_logit_is_farther_from_the_minimum_than_the_bound(people, size):
    problems, _ = problem(people, size, seed=people)
    shifted = problems.features.clone()
    shifted[:, :-1] += 3  # the mean is the problem's own affair
    problems = replace(problems, features=shifted, single=shifted.float())
    points = walk(problems, people, 1e-11)
    best = points[-1].weights[:, 0]
    asked = torch.cat([shifted, shifted.mean(0, keepdim=True)])
    rng = np.random.default_rng(0)
    tried = 0
    for point in points:
        for scale in (0, 1e-6, 1e-5, 1e-4, 1e-3):
            for weights, intercepts in ((1, 1), (1, 0), (0, 1)):
                noise = scale * torch.from_numpy(rng.standard_normal(best.shape))
                noise[:, :-1] *= weights
                noise[:, -1] = intercepts * noise[:, -1] - 3 * noise[:, :-1].sum(1)
                noise -= noise.mean(0)
                here = evaluate(problems, point.weights + noise[:, None], point.steps)
                limit = bound(problems, here)
                change = (here.weights[:, 0] - best) @ asked.T
                assert (change.amax(0) - change.amin(0) <= limit.reach(asked)[0] + 1e-9).all()
                tried += bool(limit.radius.isfinite().all())
    assert tried >= 15


def test_the_bound_does_not_depend_on_where_features_are_centred():
    problems, _ = problem(4, 5, seed=1)
    shifted = problems.features.clone()
    shifted[:, :-1] += 3
    elsewhere = replace(problems, features=shifted, single=shifted.float())
    weights = walk(problems, 4, 1e-4)[-1].weights.clone()
    weights[..., -1] += 1e-4 * torch.tensor([[1.0], [-1], [2], [-2]], dtype=torch.float64)
    there = weights.clone()
    there[..., -1] -= 3 * weights[..., :-1].sum(-1)
    steps = torch.zeros(1, dtype=torch.int64)
    here, there = (
        bound(problems, evaluate(problems, weights, steps)),
        bound(elsewhere, evaluate(elsewhere, there, steps)),
    )
    assert here.radius.isfinite()
    np.testing.assert_allclose(here.reach(problems.features), there.reach(shifted), rtol=1e-6)


def test_the_bound_knows_that_weights_can_make_up_for_intercepts():
    # whoever is in doubt lies at 3, so that a change of intercept is one of weight, which costs next to nothing
    x = torch.cat([torch.full((50,), 3.0), torch.full((450,), -1 / 3)]).to(torch.float64)
    classes = (torch.arange(500) < 50).long() * (torch.arange(500) % 2)
    features = torch.stack([x, torch.ones_like(x)], 1)
    counts, penalty = torch.ones(1, 500, dtype=torch.float64), torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    problems = Problems(features, features.float(), classes, counts, penalty)
    best = walk(problems, 2, 1e-11)[-1]
    way = 1e-4 * torch.tensor([[1.0, -3], [-1, 3]], dtype=torch.float64)[:, None]
    limit = bound(problems, evaluate(problems, best.weights + way, best.steps))
    centre = torch.tensor([[0.0, 1.0]], dtype=torch.float64)
    assert 6e-4 <= limit.reach(centre)[0, 0] < torch.inf


def test_far_from_the_minimum_nothing_is_certain():
    features = torch.tensor([[0.0, 1.0]], dtype=torch.float64).expand(1001, 2).contiguous()
    counts, penalty = torch.ones(1, 1001, dtype=torch.float64), torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    problems = Problems(features, features.float(), (torch.arange(1001) > 0).long(), counts, penalty)
    start = torch.zeros(2, 1, 2, dtype=torch.float64)
    limit = bound(problems, evaluate(problems, start, torch.zeros(1, dtype=torch.int64)))
    assert limit.reach(features)[0, 0] > np.log(1000)  # a long way for a gradient that promises a short one


def test_a_tie_is_reported_as_undecided():
    vectors = np.array([[1, 0], [2, 0], [-1, 0], [-2, 0], [0, 1], [1.5, 0], [2.5, 0]], np.float32)
    labels = np.array([0, 0, 1, 1])
    sets = [TrainingSet(0, np.array([0, 1]), np.array([4, 0]))]
    (fit,) = exact.fit_exactly(vectors, np.arange(4), labels, sets)
    assert fit.undecided == 1
    assert fit.iterations < 15  # no more steps than rounding lets count
    assert not fit.converged
    assert fit.labels[1] == 0


@pytest.mark.parametrize("seed", range(3))
def test_facecure_2021_is_scikit_learn_stopped_at_a_hundred_iterations(seed):
    vectors, split = run(people=7, pictures=10, size=6, noise=1, seed=seed, protocol="facecure-2021")
    outcomes, convergence = linear(vectors, split, "facecure-2021")
    check(vectors, split, outcomes, refit)
    assert (convergence.fits, convergence.gradient, convergence.undecided) == (14, None, None)
    assert convergence.solver.startswith("scikit-learn ")


def test_facecure_2021_reports_fits_that_did_not_converge(monkeypatch):
    monkeypatch.setattr(released, "_ITERATIONS", 4)
    vectors, split = run(people=5, pictures=10, size=6, noise=1, protocol="facecure-2021")
    outcomes, convergence = linear(vectors, split, "facecure-2021")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        check(vectors, split, outcomes, partial(refit, max_iter=4))
    assert (convergence.fits, convergence.converged, convergence.iterations) == (10, 0, 4)


def test_facts_add_up_over_splits():
    vectors, split = run()
    recogniser = Linear(Embeddings(vectors, "d"), "corrected")
    recogniser(split)
    once = recogniser.facts
    recogniser(split)
    assert recogniser.facts == replace(once, fits=2 * once.fits, converged=2 * once.fits)
    assert once.undecided == 0


def test_what_cannot_be_fitted_is_an_error(monkeypatch):
    vectors, split = run()
    for protocol in ("corrected", "facecure-2021"):
        with pytest.raises(InputError, match="distractors"):
            linear(vectors, replace(split, distractors=np.array([0])), protocol)
        mine = split.enrolled_labels == 0
        alone = replace(
            split,
            enrolled=split.enrolled[mine],
            enrolled_labels=split.enrolled_labels[mine],
            protected={"x": split.protected["x"][:1]},
        )
        with pytest.raises(InputError, match="one person"):
            linear(vectors, alone, protocol)
    real = builtins.__import__

    def absent(name, *args, **kwargs):
        if name.startswith("sklearn"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(MissingDependency, match=r"facecure\[linear\]"):
        linear(vectors, split, "facecure-2021")


def test_nobody_protected_needs_no_fit():
    none = np.empty(0, np.int64)
    split = Split(none, none, none, none, none, {"x": (Protected("a", 0, np.array([0]), none, none),)})
    outcomes, convergence = linear(np.zeros((1, 2), np.float32), split, "corrected")
    assert outcomes["x"][0].probes == 1
    assert convergence.fits == 0


@pytest.mark.shared
@pytest.mark.slow
def test_corrected_equals_a_converged_refit_on_real_embeddings(real_embeddings):
    samples, vectors = real_embeddings
    cloaks = sorted({s.cloak for s in samples if s.role == "cloaked"})
    split = make_split(samples, cloaks, "corrected", 0, 0)
    outcomes, convergence = linear(vectors, split, "corrected")
    assert convergence.undecided == 0
    check(vectors, split, outcomes, converged)

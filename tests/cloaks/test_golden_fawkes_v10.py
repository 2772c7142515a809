"""Fawkes v1.0 follows the original code from its second iteration to the last picture."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from facecure.cloaks.cloak import Sources  # noqa: E402
from facecure.cloaks.fawkes import Mode  # noqa: E402
from facecure.cloaks.fawkes_v10 import FawkesV10  # noqa: E402
from facecure.cloaks.loop import run  # noqa: E402
from facecure.cloaks.options import CloakOptions  # noqa: E402
from facecure.cloaks.steps.fawkes_step import PlainStep  # noqa: E402
from facecure.kernels import FawkesMove  # noqa: E402

from .conftest import golden_runs, golden_surrogate, planes, rows  # noqa: E402

pytestmark = pytest.mark.shared
# The first iteration's gradient is rounding noise, of which the original takes the sign: runs restart at the second,
# from the stored modifier (golden README). Targeted runs are left out: there the original raises before it returns a
# picture, and feeds the target in tanh space.


@pytest.fixture(scope="module")
def arrays(golden):
    return golden_runs(golden, "fawkes_v10.npz")


def started(arrays, g):
    """Return the cloak of a golden run and its state before the first iteration."""
    surrogates = [
        golden_surrogate(arrays[f"w_{w}"], w, size=(112, 112), mean=[0] * 3, std=[255] * 3)
        for w in str(g["param_extractors"]).split(",")
    ]
    mode = Mode(float(g["param_th"]), int(g["param_its"]), float(g["param_lr"]))
    cloak = FawkesV10(surrogates, mode, CloakOptions("facecure-2021", float(g["param_sd"])))
    sources = planes(arrays[""]["images_112"][g["src_idx"]])
    return cloak, cloak.start(Sources(sources, [None] * len(surrogates), range(len(sources))))


@pytest.fixture(scope="module")
def finished(arrays):
    """Return, per untargeted run, its golden arrays, our records and our pictures."""
    found = {}
    for name, g in arrays.items():
        if "param_th" not in g or not g["param_maximize"]:
            continue
        cloak, state = started(arrays, g)
        shape = (len(g["src_idx"]), 112, 112, 3)
        drawn = np.random.RandomState(int(g["np_seed"])).uniform(-1, 1, shape) * 1e-4
        state.step.place(planes(g.get("mod0", drawn)))
        records = list(run(cloak, state, 1))
        state.step.place(planes(g["mod_it2"]))
        records += run(cloak, state)
        found[name] = g, records, state, rows(cloak.finish(state))
    return found


def test_there_are_runs_and_only_targeted_ones_are_left_out(arrays, finished):
    assert finished
    left_out = {name for name, g in arrays.items() if "param_th" in g} - finished.keys()
    assert all(not arrays[name]["param_maximize"] for name in left_out)


def test_the_controller_takes_the_same_course(finished):
    for name, (g, records, state, _) in finished.items():
        np.testing.assert_array_equal([r.weight for r in records], g["const_diff_used"], name)
        np.testing.assert_array_equal(state.weight, g["const_diff_after"], name)
        np.testing.assert_array_equal(state.side, g["outside_after"], name)


def test_the_same_iterates_are_accepted(finished):
    for name, (g, records, _, _) in finished.items():
        best, expected = np.zeros(len(g["src_idx"])), []
        for feature, dssim in zip(g["feat"], g["dist_raw"], strict=True):
            expected.append((dssim <= 1.1 * float(g["param_th"])) & (feature > best))
            best = np.where(expected[-1], feature, best)
        np.testing.assert_array_equal([r.accepted for r in records], expected, name)


def test_values_agree(finished):
    for name, (g, records, _, _) in finished.items():
        # TensorFlow sums 10,404 window values in float32 one after the other: up to 2e-5 off (golden README)
        np.testing.assert_allclose([r.visible for r in records], g["dist_raw"], atol=3e-5, err_msg=name)
        # the same sums steer the penalty of the plain runs; two runs of the original that differ in nothing but them
        # (low1x and low1x_acc) differ by 1.5e-2 in this value
        np.testing.assert_allclose([r.feature for r in records][1:], g["feat"][1:], rtol=2e-2, err_msg=name)


def test_pictures_agree(finished):
    compared = 0
    for name, (g, _, _, pictures) in finished.items():
        if "best_out" in g:
            compared += 1
            assert (np.abs(pictures - g["best_out"]) <= 1).mean() >= 0.999, name
        elif "best_out_s4" in g:
            compared += 1
            assert (np.abs(pictures[:, ::4, ::4] - g["best_out_s4"]) <= 1).mean() >= 0.999, name
    stored = [name for name, (g, *_) in finished.items() if {"best_out", "best_out_s4"} & g.keys()]
    assert compared == len(stored)


def test_gradients_agree_where_no_penalty_multiplies_the_error_of_dssim(arrays, finished, monkeypatch):
    for name, (g, _, _, _) in finished.items():
        if (g["dist_raw"][1] > float(g["param_th"])).any():
            continue
        monkeypatch.setattr("facecure.cloaks.fawkes_v10.fawkes_step", PlainStep)
        cloak, state = started(arrays, g)
        state.step.place(planes(g["mod_it2"]))
        weight = torch.from_numpy(g["const_diff_used"][1].copy())
        by_feature = cloak.objective(state).gradients[0]
        none = torch.zeros_like(weight)
        found = rows(state.step.gradient(FawkesMove(by_feature, none, -weight, none > 0, 1.0, frozen=True)))
        stored = [(found, "grad_it2"), (found[:, ::4, ::4], "grad_s4_it2")]
        stored = [(ours, g[key]) for ours, key in stored if key in g]
        assert stored, name
        for ours, expected in stored:
            assert np.linalg.norm(ours - expected) <= 2e-5 * np.linalg.norm(expected), name

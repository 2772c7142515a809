"""LowKey takes the original code's steps, and LPIPS its values.

Sign steps are chaotic: a gradient near zero takes its sign from the processor's rounding, and within fifty steps that
moves most pixels. So the whole run is compared in float64, and float32 one step at a time from recorded states.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from facecure.cloaks.cloak import Sources  # noqa: E402
from facecure.cloaks.loop import run  # noqa: E402
from facecure.cloaks.lowkey import LowKey4  # noqa: E402
from facecure.cloaks.lpips import Lpips, LpipsNetwork, squared  # noqa: E402
from facecure.cloaks.options import CloakOptions  # noqa: E402
from facecure.cloaks.steps.gaussian import smooth  # noqa: E402
from facecure.cloaks.surrogate import unit  # noqa: E402

from .conftest import golden_alex, golden_runs, golden_surrogate, rows  # noqa: E402

pytestmark = pytest.mark.shared
STEP = 0.0025
VALUES = ("loss", "feature", "visible")


@pytest.fixture(scope="module")
def arrays(golden):
    return golden_runs(golden, "lowkey.npz")


@pytest.fixture(scope="module")
def make(golden, arrays):
    """Return a function that makes a run's cloak, with networks of a dtype, and its state before the first step.

    The two nets are the released code's four effective members: each stands for two equal ones.
    """
    weights, alex = golden_runs(golden, "fawkes_v10.npz"), golden_alex(golden)

    def made(name: str, dtype: torch.dtype):
        g = arrays[name]
        surrogates = [
            golden_surrogate(weights[f"w_{w}"], w, size=(112, 112), mean=[127.5] * 3, std=[127.5] * 3) for w in "AB"
        ]
        lpips = golden_lpips(alex)
        for model in (*surrogates, lpips):
            model.network.to(dtype)
        cloak = LowKey4(surrogates, options=CloakOptions("facecure-2021", None, 1 if name == "mashal" else None, lpips))
        pictures = torch.from_numpy(arrays[""]["images_112"][g["src_idx"]]).permute(0, 3, 1, 2).to(dtype)
        state = cloak.start(Sources(pictures, [None, None], range(len(pictures))))
        place(state, arrays, name, 0)
        return cloak, state

    return made


def golden_lpips(alex) -> Lpips:
    heads = [torch.from_numpy(alex[f"lin{i}"]) for i in range(5)]
    backbone = {key: torch.from_numpy(v) for key, v in alex.items() if not key.startswith("lin")}
    return Lpips(LpipsNetwork("alex").load(backbone, heads), {})


def place(state, arrays, name: str, number: int) -> None:
    """Put a state where the recorded run was after `number` steps: its signs so far say so exactly."""
    g, dtype = arrays[name], state.step.pictures.dtype
    # runs that differ in LPIPS alone share their noise: same seed, same pictures
    noise = next(
        other["noise"]
        for other in (g, *arrays.values())
        if "noise" in other and other["torch_seed"] == g["torch_seed"] and len(other["noise"]) == len(g["src_idx"])
    )
    pictures = arrays[""]["images_112"][g["src_idx"]].transpose(0, 3, 1, 2) / 255.0
    state.step.place(torch.from_numpy(pictures + noise.astype(float) + STEP * signs(g, number)).to(dtype))
    state.iteration = number


def signs(g, number: int) -> np.ndarray:
    """Return the sum of the recorded signs of the first steps."""
    return g[f"signsum_it{number}"].astype(int) if number else np.zeros(g["signsum_it1"].shape, int)


def recorded(g) -> list[int]:
    return [0, *sorted(int(key.removeprefix("signsum_it")) for key in g if key.startswith("signsum_it"))]


@pytest.fixture(params=["orig", "mashal"])
def name(request):
    return request.param


def test_the_runs_are_these_two(arrays):
    assert {name for name, g in arrays.items() if "loss" in g} == {"orig", "mashal"}


def test_clean_features_agree(make, arrays, name):
    _, state = make(name, torch.float32)
    for number, reference in enumerate(state.references):
        for copy in (0, 1):  # the original repeats each net's
            np.testing.assert_allclose(reference, arrays[name]["dir_vec"][:, 2 * number + copy], atol=1e-5)


@pytest.mark.slow
def test_the_whole_run_in_float64_is_the_original_codes_in_float64(make, arrays, name):
    """Nothing here hangs on a processor's rounding: in float64 hardly any gradient comes near enough to zero."""
    g, (cloak, state) = arrays[name], make(name, torch.float64)
    start, records = state.step.pictures.clone(), []
    for number in recorded(g)[1:]:
        records += run(cloak, state, number - state.iteration)
        ours = torch.round((state.step.pictures - start) / STEP).numpy()
        # The share by which the original's float64 run differs from its float32 one is recorded; so much must ours. The
        # square roots of LPIPS' heads are float32 here, 6e-8 off: enough to turn single ones of 7.5 million decisions.
        differing = g.get(f"fp32_vs_fp64_signsum_diff_frac_it{number}")
        if differing is not None:
            assert (ours != signs(g, number)).mean() == pytest.approx(float(differing), abs=1e-4), number
    # the loss is what is left of two terms; the original maximises what is minimised here
    loss, feature, visible = (np.array([getattr(r, v).mean() for r in records]) for v in VALUES)
    assert len(loss) == len(g["loss_f64"]) == 50
    assert (np.abs(loss + g["loss_f64"]) <= 1e-6 * (feature + 0.05 * visible)).all()


def test_values_agree_at_every_recorded_state(make, arrays, name):
    g, (cloak, state) = arrays[name], make(name, torch.float32)
    for number in recorded(g)[:-1]:
        place(state, arrays, name, number)
        found = cloak.objective(state)
        feature, visible = float(found.feature.mean()), float(found.visible.mean())
        assert visible == pytest.approx(g["lpips_term"][number], rel=2e-5), number
        assert abs(float(found.loss.mean()) + g["loss"][number]) <= 1e-5 * (feature + 0.05 * visible), number


def test_one_step_from_each_recorded_state_has_the_recorded_signs(make, arrays, name):
    """float32, the product's path; signs are compared where float64 says that the gradient is not near zero."""
    g, (cloak, state), (exact, exactly) = arrays[name], make(name, torch.float32), make(name, torch.float64)
    steps = [(a, b) for a, b in pairwise(recorded(g)) if b == a + 1]
    assert len(steps) >= 3
    for before, after in steps:
        place(state, arrays, name, before)
        place(exactly, arrays, name, before)
        gradient = exactly.step.gradient(*exact.objective(exactly).gradients).numpy()
        by_picture = np.sqrt(np.square(gradient).sum((1, 2, 3)))
        # the original's loss is a mean over the batch, ours a sum
        np.testing.assert_allclose(by_picture / len(gradient), g["grad_l2"][before], rtol=1e-3)
        start = state.step.pictures.clone()
        run_one = list(run(cloak, state, 1))
        assert [r.iteration for r in run_one] == [after]
        ours = torch.round((state.step.pictures - start) / STEP).numpy()
        clear = np.abs(gradient) > 1e-4 * np.sqrt(np.square(gradient).mean((1, 2, 3), keepdims=True))
        assert clear.mean() >= 0.999
        assert (ours == signs(g, after) - signs(g, before))[clear].mean() >= 0.999, before


def test_the_last_state_becomes_the_recorded_picture_and_features(make, arrays, name):
    g, (cloak, state) = arrays[name], make(name, torch.float32)
    place(state, arrays, name, recorded(g)[-1])
    final = cloak.finish(state)
    if "final" in g:
        np.testing.assert_allclose(final / 255, g["final"], atol=1e-6)
    # truncation takes a level from a value that rounding leaves just below a whole one
    written = np.trunc(rows(final))
    assert np.abs(written - g["final_u8"]).max() <= 1
    assert (written == g["final_u8"]).mean() >= 0.9999
    features = [unit(s.embed(v, mirror=True)) for s in cloak.surrogates for v in (smooth(final), final)]
    np.testing.assert_allclose(torch.stack(features, 1), g["final_features"], atol=2e-6)


def test_lpips_units(golden):
    lpips = golden_lpips(golden_alex(golden))
    units = golden_runs(golden, "units.npz")["lpips"]
    x, y = (torch.from_numpy(units[key]).float() for key in ("in_x_u8_nchw", "in_y"))
    value, gradient = lpips.loss_and_grad(y, lpips.embed(x), squared, white=1)
    np.testing.assert_allclose(value, units["orig_per_image"], rtol=1e-4)
    np.testing.assert_allclose(value, units["mashal_value"].ravel(), rtol=1e-4)
    np.testing.assert_allclose(value.sum(), units["orig_value_f64"].ravel()[0], rtol=1e-4)
    assert np.linalg.norm(gradient.numpy() - units["orig_grad_y"]) <= 1e-4 * np.linalg.norm(units["orig_grad_y"])

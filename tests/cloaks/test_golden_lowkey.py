"""LowKey takes the original code's steps, and LPIPS its values."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from facecure.cloaks.gaussian import smooth  # noqa: E402
from facecure.cloaks.loop import Sources, run  # noqa: E402
from facecure.cloaks.lowkey import LowKey  # noqa: E402
from facecure.cloaks.lpips import Lpips, LpipsNetwork, squared  # noqa: E402
from facecure.cloaks.surrogate import unit  # noqa: E402

from .conftest import golden_alex, golden_runs, golden_surrogate, rows  # noqa: E402

pytestmark = pytest.mark.shared
STEP = 0.0025


@pytest.fixture(scope="module")
def arrays(golden):
    return golden_runs(golden, "lowkey.npz")


@pytest.fixture(scope="module")
def lpips(golden):
    weights = golden_alex(golden)
    heads = [torch.from_numpy(weights[f"lin{i}"]) for i in range(5)]
    backbone = {key: torch.from_numpy(v) for key, v in weights.items() if not key.startswith("lin")}
    return Lpips(LpipsNetwork("alex").load(backbone, heads), {})


@pytest.fixture(scope="module")
def finished(golden, arrays, lpips):
    """Return, per run, its golden arrays, our records, sums of steps by iteration, pictures and their features.

    The two nets are the released code's four effective members: each stands for two equal ones.
    """
    weights, found = golden_runs(golden, "fawkes_v10.npz"), {}
    for name, g in arrays.items():
        if "loss" not in g:
            continue
        surrogates = [
            golden_surrogate(weights[f"w_{w}"], w, size=(112, 112), mean=[127.5] * 3, std=[127.5] * 3) for w in "AB"
        ]
        cloak = LowKey(surrogates, "facecure-2021", lpips=lpips, distinct=True, first_only=name == "mashal")
        pictures = torch.from_numpy(arrays[""]["images_112"][g["src_idx"]].transpose(0, 3, 1, 2).copy()).float()
        if pictures.shape[1] != 3:
            pictures = pictures.permute(0, 3, 1, 2)
        state = cloak.start(Sources(pictures, [None, None], range(len(pictures))))
        noise = g["noise"] if "noise" in g else same_noise(arrays, g)
        state.step.place(pictures / 255 + torch.from_numpy(noise))
        start, records, steps = state.step.pictures.clone(), [], {}
        for number in sorted(int(key.removeprefix("signsum_it")) for key in g if key.startswith("signsum_it")):
            records += run(cloak, state, number - state.iteration)
            steps[number] = torch.round((state.step.pictures - start) / STEP).numpy()
        final = cloak.finish(state)
        features = [unit(s.embed(v, mirror=True)) for s in surrogates for v in (smooth(final), final)]
        references = [r.numpy() for r in state.references]
        found[name] = g, records, steps, pictures, final, torch.stack(features, 1).numpy(), references
    return found


def same_noise(arrays, g):
    """Return the noise of another run with the same seed and pictures: runs that differ in LPIPS alone share it."""
    return next(
        other["noise"]
        for other in arrays.values()
        if "noise" in other and other["torch_seed"] == g["torch_seed"] and len(other["noise"]) == len(g["src_idx"])
    )


def test_there_are_runs(finished):
    assert finished


def test_clean_features_agree(finished):
    for name, (g, _, _, _, _, _, references) in finished.items():
        for number, reference in enumerate(references):
            for copy in (0, 1):  # the original repeats each net's
                np.testing.assert_allclose(reference, g["dir_vec"][:, 2 * number + copy], atol=1e-5, err_msg=name)


def test_signs_agree_as_well_as_the_original_agrees_with_itself_in_float64(finished):
    for name, (g, _, steps, _, _, _, _) in finished.items():
        differing = {number: (ours != g[f"signsum_it{number}"]).mean() for number, ours in steps.items()}
        assert differing[1] <= 0.001, name
        for number, share in differing.items():
            floor = g.get(f"fp32_vs_fp64_signsum_diff_frac_it{number}")
            if number <= 5 and floor is not None:
                assert share <= max(float(floor), 0.001), (name, number)


def test_loss_and_lpips_agree(finished):
    for name, (g, records, _, _, _, _, _) in finished.items():
        assert len(records) == len(g["loss"])
        # the original maximises what is minimised here
        np.testing.assert_allclose([-r.loss.mean() for r in records], g["loss"], rtol=1e-3, err_msg=name)
        np.testing.assert_allclose([r.visible.mean() for r in records], g["lpips_term"], rtol=1e-3, err_msg=name)


def test_final_features_and_changes_agree(finished):
    for name, (g, _, _, pictures, final, features, _) in finished.items():
        error = np.linalg.norm(features - g["final_features"]) / np.linalg.norm(g["final_features"])
        assert error <= 1e-3, name
        written = np.trunc(rows(final))
        clean = rows(pictures)
        ours, theirs = (
            np.bincount(np.abs(v - clean).astype(int).ravel(), minlength=40) for v in (written, g["final_u8"])
        )
        assert np.abs(ours - theirs).sum() / 2 <= 0.01 * clean.size, name
        assert np.abs(written - clean).max() <= np.abs(g["final_u8"] - clean).max(), name


def test_lpips_units(golden, lpips):
    units = golden_runs(golden, "units.npz")["lpips"]
    x, y = (torch.from_numpy(units[key]).float() for key in ("in_x_u8_nchw", "in_y"))
    value, gradient = lpips.loss_and_grad(y, lpips.embed(x), squared, white=1)
    np.testing.assert_allclose(value, units["orig_per_image"], rtol=1e-4)
    np.testing.assert_allclose(value, units["mashal_value"].ravel(), rtol=1e-4)
    np.testing.assert_allclose(value.sum(), units["orig_value_f64"].ravel()[0], rtol=1e-4)
    assert np.linalg.norm(gradient.numpy() - units["orig_grad_y"]) <= 1e-4 * np.linalg.norm(units["orig_grad_y"])

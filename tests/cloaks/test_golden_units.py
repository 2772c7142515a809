"""Primitives against what TensorFlow, Keras and torchvision computed in the original code."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from facecure.cloaks.steps.adadelta import EPSILON_KERAS, EPSILON_TF1, Adadelta, adadelta_numpy  # noqa: E402
from facecure.cloaks.steps.dssim import Dssim, dssim_numpy  # noqa: E402
from facecure.cloaks.steps.gaussian import smooth, smooth_numpy  # noqa: E402
from facecure.cloaks.steps.tanh import bend  # noqa: E402
from facecure.cloaks.surrogate import unit  # noqa: E402
from facecure.pictures.align import cut_face  # noqa: E402
from facecure.types import FaceGeometry  # noqa: E402

from .conftest import golden_runs, golden_surrogate, planes, rows  # noqa: E402

pytestmark = pytest.mark.shared


@pytest.fixture(scope="module")
def units(golden):
    return golden_runs(golden, "units.npz")


def test_dssim_and_its_gradient(units):
    g = units["ssim"]
    for number in range(len(g["names"])):
        x, y = planes(g[f"{number}_x"]), planes(g[f"{number}_y"])
        value, gradient = Dssim(y)(x - y)
        twin, twin_gradient = dssim_numpy(x.double().numpy(), y.double().numpy())
        expected = (1 - float(g[f"{number}_value_f64"])) / 2
        assert twin[0] == pytest.approx(expected, abs=1e-9)
        assert float(value[0]) == pytest.approx(expected, abs=1e-5)
        key, step = (f"{number}_grad_x", 1) if f"{number}_grad_x" in g else (f"{number}_grad_x_s2", 2)
        theirs = -g[key] / 2  # of SSIM
        for ours in (rows(gradient), twin_gradient.transpose(0, 2, 3, 1)):
            # TensorFlow's own float32 gradients lie 1e-4 to 2e-4 from float64 (golden README)
            error = np.linalg.norm(ours[:, ::step, ::step] - theirs) / np.linalg.norm(theirs)
            assert error <= 3e-4, g["names"][number]


def test_tanh_space(units):
    g = units["tanh"]
    levels = torch.from_numpy(g["pixels"]).float()
    middle = torch.full_like(levels, -0.5)  # 127.5, 0 in tanh space: a modifier is the point itself
    np.testing.assert_allclose(127.5 + bend(middle, torch.from_numpy(g["arctanh_v10"]))[0], levels, atol=2e-4)
    z = torch.from_numpy(g["z"])
    # tanh by eighth powers: a change of 127 levels carries some 2e-6 of itself, the 15 of Fawkes v1.0 a tenth of that
    np.testing.assert_allclose(127.5 + bend(torch.full_like(z, -0.5), z)[0], g["reverse_z"], atol=3e-4)


@pytest.mark.parametrize(("kind", "epsilon"), [("keras_legacy", EPSILON_KERAS), ("tf1", EPSILON_TF1)])
@pytest.mark.parametrize("rate", [15, 35])
def test_adadelta(units, kind, epsilon, rate):
    g = units["adadelta"]
    expected = g[f"{kind}_lr{rate}"]
    twin = adadelta_numpy(g["x0"].astype(np.float64), g["grads"].astype(np.float64), rate, epsilon)
    np.testing.assert_allclose(twin, expected, rtol=1e-5, atol=1e-5)
    x = torch.from_numpy(g["x0"].copy())
    state = Adadelta.of(x, epsilon)
    for gradient, after in zip(g["grads"], expected, strict=True):
        state.step(x, torch.from_numpy(gradient.copy()), rate)
        np.testing.assert_allclose(x, after, rtol=1e-5, atol=1e-5)


def test_smoothing(units):
    g = units["gauss"]
    pictures = torch.from_numpy(g["in_u8_nchw"]).float()
    scale = 1 if g["out_img0"].max() > 2 else 255
    for ours in (smooth(pictures).numpy(), smooth_numpy(pictures.double().numpy())):
        np.testing.assert_allclose(ours[0] / scale, g["out_img0"], rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(ours[1, :, ::2, ::2] / scale, g["out_img1_s2"], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("side", [112, 224])
def test_faces_are_fitted_as_the_tools_do(units, side):
    g = units["faces"]
    stretched = FaceGeometry(side, side, interpolation="bicubic", stretch=True)
    np.testing.assert_array_equal(cut_face(g["photo"], stretched, None), g[f"resize_{side}"])
    plain = FaceGeometry(side, side, interpolation="bicubic")
    np.testing.assert_array_equal(cut_face(g["photo"], plain, None), g[f"resize_plain_pil_{side}"])


def test_the_unaligned_face_is_fitted_twice(units):
    g, geometry = units["faces"], FaceGeometry(112, 112, interpolation="bicubic", stretch=True)
    twice = cut_face(cut_face(g["photo"], geometry, None), geometry, None)
    np.testing.assert_array_equal(twice[None], g["v10_noalign_cropped"])


@pytest.mark.parametrize("name", ["A", "B"])
def test_lowkey_features(golden, units, name):
    weights = golden_runs(golden, "fawkes_v10.npz")
    surrogate = golden_surrogate(weights[f"w_{name}"], name, size=(112, 112), mean=[127.5] * 3, std=[127.5] * 3)
    found = unit(surrogate.embed(planes(weights[""]["images_112"]), mirror=True))
    np.testing.assert_allclose(found, units[f"tiny_{name}"]["lowkey_feature_extractor"], atol=1e-5)

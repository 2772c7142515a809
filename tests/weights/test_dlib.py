"""dlib's own file, as the PyPI package face_recognition_models carries it, is read to its last byte."""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from facecure.errors import InputError  # noqa: E402
from facecure.extractors.networks import build_network  # noqa: E402
from facecure.extractors.networks.network import load  # noqa: E402
from facecure.weights import read_weights  # noqa: E402

NAME = "dlib_face_recognition_resnet_model_v1.dat"


@pytest.fixture(scope="module")
def data() -> bytes:
    package = importlib.util.find_spec("face_recognition_models")  # not imported: it needs pkg_resources
    if package is None:
        pytest.skip("face_recognition_models is not installed; the extra test brings it")
    return (Path(package.submodule_search_locations[0]) / "models" / NAME).read_bytes()


def test_every_layer_is_there(data):
    assert hashlib.sha256(data).hexdigest().startswith("55533b28a95800a5")
    found = read_weights(data).tensors
    assert len(found) == 2 * 29 + 2 * 29 + 1 + 1
    assert found["con0.weight"].shape == (32, 3, 7, 7)
    assert found["con28.weight"].shape == (256, 256, 3, 3)
    assert found["fc0.weight"].shape == (256, 128)
    torch.testing.assert_close(found["input.mean"], torch.tensor([122.782, 117.001, 104.298]), rtol=0, atol=1e-4)
    values = sum(value.numel() for value in found.values())
    assert 4 * values / len(data) > 0.999  # the rest is names and shapes


@pytest.mark.shared
def test_the_network_gives_what_the_port_that_agrees_with_dlib_gives(data, assets):
    onnxruntime = pytest.importorskip("onnxruntime")
    network = build_network("dlib-resnet").eval()
    assert load(network, read_weights(data).tensors) == 118
    faces = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 3, 150, 150)).astype(np.float32))
    (expected,) = onnxruntime.InferenceSession(assets / "models" / "dlib_resnet.onnx").run(
        None, {"faces": faces.numpy()}
    )
    with torch.no_grad():
        found = network((faces - network.mean[:, None, None]) / 256)
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize("cut", [20, 300, 20_000, -1])
def test_a_file_that_ends_early_is_refused(data, cut):
    with pytest.raises(InputError, match="no dlib network of known layers, or a damaged one"):
        read_weights(data[:cut])


def test_a_file_that_ends_late_or_has_other_layers_is_refused(data):
    with pytest.raises(InputError, match="end of the last layer"):
        read_weights(data + b"\x01\x01")
    with pytest.raises(InputError, match="a layer 'selu_'"):
        read_weights(data.replace(b"relu_", b"selu_"))


def test_a_network_that_takes_off_another_mean_is_another(data):
    tensors = read_weights(data).tensors
    del tensors["input.mean"]
    with pytest.raises(InputError, match=r"1 missing \(mean\)"):
        load(build_network("dlib-resnet"), tensors)

"""Networks are loaded whole or not at all, and torch embeds as ONNX Runtime does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from facecure.errors import DigestMismatch, InputError  # noqa: E402
from facecure.execution import torch_threads  # noqa: E402
from facecure.extractors.networks import build_network  # noqa: E402
from facecure.extractors.packaged import packaged_specs, packaged_surrogate  # noqa: E402
from facecure.extractors.runtimes import open_extractor  # noqa: E402
from facecure.extractors.runtimes.torch import load_network  # noqa: E402
from facecure.extractors.spec import read_spec  # noqa: E402
from facecure.types import Faces  # noqa: E402

SPECS = packaged_specs()


def test_an_unknown_architecture_is_named_with_a_hint():
    with pytest.raises(InputError, match="did you mean 'mobilefacenet-prelu'"):
        build_network("mobilefacenet-prelus")


@pytest.mark.parametrize("file", SPECS, ids=lambda f: f.stem)
def test_torch_and_onnx_agree(file):
    surrogate = packaged_surrogate(file)
    pixels = np.random.default_rng(0).integers(0, 256, (11, 64, 64, 3), np.uint8)
    by_onnx, by_torch = (open_extractor(spec) for spec in (read_spec(file), surrogate))
    faces = Faces(pixels, surrogate.geometry)
    np.testing.assert_allclose(by_torch.embed(faces).vectors, by_onnx.embed(faces).vectors, atol=2e-5)
    assert by_torch.digest != by_onnx.digest  # other weights file
    assert by_torch.what_ran["runtime"].startswith("torch ")
    alone = by_torch.embed(Faces(pixels[10:], surrogate.geometry)).vectors
    np.testing.assert_array_equal(alone[0], by_torch.embed(faces).vectors[10])


@pytest.mark.shared
@pytest.mark.parametrize(
    ("weights", "onnx", "architecture", "size"),
    [
        ("xiaoccer_mobilefacenet_068.ckpt", "xiaoccer_mfn.onnx", "mobilefacenet-prelu", (112, 96)),
        ("foamliu_mobilefacenet.pt", "foamliu_mfn.onnx", "mobilefacenet-relu6", (112, 112)),
    ],
)
def test_published_files_give_what_their_onnx_port_gives(assets, weights, onnx, architecture, size):
    onnxruntime = pytest.importorskip("onnxruntime")
    spec = replace(packaged_surrogate(SPECS[0]), weights=assets / "models" / weights, architecture=architecture)
    network, sha256 = load_network(spec)
    faces = torch.randn(5, 3, *size, generator=torch.Generator().manual_seed(0))
    (expected,) = onnxruntime.InferenceSession(assets / "models" / onnx).run(None, {"faces": faces.numpy()})
    np.testing.assert_allclose(network(faces), expected, atol=2e-5)
    assert len(sha256) == 64


@pytest.fixture
def spec(tmp_path):
    """Return a function that writes weights and returns a spec of them."""

    def make(content) -> object:
        file = tmp_path / "weights.pt"
        torch.save(content, file)
        return replace(packaged_surrogate(SPECS[0]), weights=file, architecture="tiny-plain")

    return make


def test_a_checkpoint_holds_its_state_dict(spec):
    state = build_network("tiny-plain").state_dict()
    network, _ = load_network(spec({"epoch": 3, "net_state_dict": state}))
    assert all(torch.equal(value, state[key]) for key, value in network.state_dict().items())
    assert not any(p.requires_grad for p in network.parameters())
    assert not network.training


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda s: {k: v for k, v in s.items() if k != "head.bias"}, "head.bias"),
        (lambda s: s | {"more": torch.ones(1)}, "more"),
        (lambda s: s | {"head.bias": torch.ones(1)}, "head.bias"),
        (lambda s: {"a": s, "b": s}, "'a', 'b' fit: name one in the spec"),
        (lambda s: {"epoch": 1}, "no state dict"),
        (lambda s: [1, 2], "no state dict"),
    ],
)
def test_what_does_not_fit_whole_is_refused(spec, change, says):
    with pytest.raises(InputError, match=says):
        load_network(spec(change(build_network("tiny-plain").state_dict())))


def test_other_files_and_digests_are_refused(spec):
    good = spec(build_network("tiny-plain").state_dict())
    with pytest.raises(DigestMismatch):
        load_network(replace(good, sha256="0" * 64))
    with pytest.raises(InputError, match="architecture"):
        load_network(replace(good, architecture=None))
    good.weights.write_bytes(b"no weights")
    with pytest.raises(InputError, match="is no tiny-plain"):
        load_network(good)
    with pytest.raises(InputError, match="NCHW"):
        open_extractor(replace(packaged_surrogate(SPECS[0]), layout="NHWC"))


def test_code_in_a_pickle_is_not_run(spec, tmp_path):
    class Attack:
        def __reduce__(self):
            return (open, (str(tmp_path / "written"), "w"))

    with pytest.raises(InputError):
        load_network(spec({"state": Attack()}))
    assert not (tmp_path / "written").exists()


def test_threads_are_given_back():
    before = torch.get_num_threads()
    with torch_threads(1):
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before

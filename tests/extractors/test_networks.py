"""Every architecture takes its official file whole, computes what the official code computes, and refuses the rest.

`official/networks.npz` holds names, shapes and outputs of the official implementations; see `official/make.py`.
"""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from facecure.errors import InputError  # noqa: E402
from facecure.extractors.networks import ARCHITECTURES, LOOKALIKES, build_network  # noqa: E402
from facecure.extractors.networks.network import load, load_one  # noqa: E402

from .official.filled import filled, picture  # noqa: E402

OFFICIAL = np.load(Path(__file__).parent / "official" / "networks.npz")
NAMES = sorted(key.removesuffix(" output") for key in OFFICIAL if key.endswith(" output"))
SIZES = {"clip-vit-b32": 224, "vgg-face-logits": 224, "vgg-face-descriptor": 224} | {
    name: 160 for name in NAMES if name.startswith("inception")
}
LARGE = {"iresnet100", "magface-iresnet100", "ir-101", "ir-152", "resnet-101", "resnet-152"}
KERAS = {name for name in NAMES if "keras" in name or "vgg" in name}
# what the official file holds beside the embedding network
HEADS = {"inception-resnet-v1": {"logits.weight": (8631, 512), "logits.bias": (8631,)}}


@cache
def official(name: str) -> dict:
    """The tensors of an official file, filled."""
    shapes = (line.rpartition(" (") for line in OFFICIAL[f"{name} names"].tolist())
    state = {key: ast.literal_eval(f"({shape}") for key, _, shape in shapes}
    if name != "vgg-face-descriptor":
        return {k: torch.from_numpy(filled(k, s, inputs_first=name in KERAS)) for k, s in state.items()}
    return official("vgg-face-logits")


def test_every_architecture_of_a_published_file_is_compared_with_its_code():
    own = {name for name in ARCHITECTURES if name.startswith(("tiny-", "mobilefacenet-"))}  # test_packaged, test_torch
    elsewhere = {"dlib-resnet", "keras"}  # tests/weights
    # the one with 128 values but for its last layer; OpenAI's but for its activation
    same = {"inception-resnet-v1-keras-512", "clip-vit-b32-gelu"}
    assert set(NAMES) == set(ARCHITECTURES) - own - elsewhere - same


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_official_names_load_whole_and_mean_the_same(name):
    tensors = official(name)
    network = build_network(name).eval()
    before = sum(not key.endswith("num_batches_tracked") for key in network.state_dict())
    count = load(network, tensors | {k: torch.ones(s) for k, s in HEADS.get(name, {}).items()})
    assert count == before
    with torch.no_grad():
        found = network(torch.from_numpy(picture(*[SIZES.get(name, 112)] * 2))).numpy()
    expected = OFFICIAL[f"{name} output"]
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_the_keras_form_with_512_values_differs_in_its_last_layer_alone():
    tensors = dict(official("inception-resnet-v1-keras-128"))
    for key, value in tensors.items():
        if key.startswith("Bottleneck"):
            tensors[key] = torch.cat([value] * 4, -1)
    network = build_network("inception-resnet-v1-keras-512").eval()
    load(network, tensors)
    with torch.no_grad():
        found = network(torch.from_numpy(picture(160, 160))).numpy()
    expected = np.tile(OFFICIAL["inception-resnet-v1-keras-128 output"], 4)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


SMALL = [name for name in NAMES if name not in LARGE and not name.startswith("vgg")]
MISTAKES = {
    "missing": (lambda state, key: {k: v for k, v in state.items() if k != key}, "1 missing"),
    "misspelt": (lambda state, key: {k + "x" * (k == key): v for k, v in state.items()}, "1 left over"),
    "more": (lambda state, key: state | {"more.weight": torch.ones(3)}, r"1 left over \(.*more"),
    "shape": (lambda state, key: state | {key: torch.ones(5, 4)}, r"of another shape \(.*\(5, 4\)"),
    "not a number": (lambda state, key: state | {key: state[key] * torch.nan}, "1 not finite"),
}


@pytest.mark.slow
@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.parametrize("name", SMALL)
def test_what_does_not_fit_whole_is_refused(name, mistake):
    change, says = MISTAKES[mistake]
    tensors = official(name)
    inside = [key for key in tensors if not name.startswith("clip") or key.startswith("visual.")]
    key = inside[len(inside) // 2]
    if name in KERAS and mistake == "shape":
        says += "|1 left over"  # a kernel of two axes is no convolution's
    network = build_network(name)
    with pytest.raises(InputError, match=says):
        load(network, change(tensors, key))


@pytest.mark.slow
@pytest.mark.parametrize("other", ["iresnet18", "ir-50", "resnet-50", "clip-vit-b32"])
def test_another_networks_file_is_refused_with_counts(other):
    network = build_network("iresnet34")
    with pytest.raises(InputError, match=r"\d+ of 276 tensors fit; \d+ (missing|left over)"):
        load(network, official(other))


def test_a_variance_below_zero_is_refused():
    tensors = dict(official("iresnet18"))
    tensors["bn1.running_var"] = tensors["bn1.running_var"].clone()
    tensors["bn1.running_var"][3] = -1e-9
    with pytest.raises(InputError, match=r"1 with a variance below zero \(bn1\.running_var\)"):
        load(build_network("iresnet18"), tensors)


HEAD = {"weight": torch.ones(10, 512)}
CHECKPOINTS = {
    "the only one that fits": (lambda s: {"state_dict_backbone": s, "state_dict_softmax_fc": HEAD}, None, None),
    "the one that is named": (lambda s: {"model": s, "ema": {k: v + 1 for k, v in s.items()}}, "model", None),
    "two that fit": (lambda s: {"model": s, "ema": s}, None, r"'model', 'ema' fit: name one .* state = \"ema\""),
    "none that fits": (lambda s: {"fc": HEAD, "": HEAD}, None, r"(?s)2 state dicts, of which none fits:.*fc: 0 of 156"),
    "a name that is not there": (lambda s: {"model": s}, "ema", r"no state dict 'ema' but 'model'"),
}


@pytest.mark.parametrize("case", CHECKPOINTS)
def test_of_several_state_dicts_the_one_that_fits_is_loaded(case):
    wrap, key, says = CHECKPOINTS[case]
    tensors, network = official("iresnet18"), build_network("iresnet18")
    if says is None:
        load_one(network, wrap(tensors), key)
        assert torch.equal(network.bn1.weight, tensors["bn1.weight"])
        return
    with pytest.raises(InputError, match=says):
        load_one(network, wrap(tensors), key)


@pytest.mark.slow
def test_openclips_clip_differs_in_its_activation_alone():
    with torch.no_grad():
        quick, exact = (build_network(name).eval() for name in ("clip-vit-b32", "clip-vit-b32-gelu"))
        for network in (quick, exact):
            load(network, official("clip-vit-b32"))
        x = torch.linspace(-3, 3, 7)
        block = exact.transformer.resblocks[0].mlp
        torch.testing.assert_close(block.gelu(x), x * (1 + torch.erf(x / 2**0.5)) / 2)
        faces = torch.from_numpy(picture(224, 224))
        one, other = (torch.nn.functional.normalize(network(faces)) for network in (quick, exact))
    assert ((1 - (one * other).sum(1)) > 1e-6).all()  # one file, two networks


@pytest.mark.slow
def test_what_tensors_cannot_tell_apart_is_said_of_both():
    assert set(LOOKALIKES) <= set(ARCHITECTURES)
    for name, note in LOOKALIKES.items():
        (other,) = [one for one in LOOKALIKES if f"fit {one}," in note]
        assert f"fit {name}," in LOOKALIKES[other]
        shapes = [{k: v.shape for k, v in build_network(n).state_dict().items()} for n in (name, other)]
        assert shapes[0] == shapes[1]


def same(network, tensors) -> bool:
    load(network, tensors)
    wanted = official("magface-iresnet18")
    return all(torch.equal(v, wanted[k]) for k, v in network.state_dict().items() if not k.endswith("tracked"))


@pytest.mark.parametrize("prefix", ["", "module.", "features.", "features.module.", "module.features."])
@pytest.mark.parametrize("head", ["fc.weight", "module.fc.weight", "parallel_fc.weight", None])
def test_prefixes_and_classifier_of_magface_files(prefix, head):
    tensors = {prefix + key: value for key, value in official("magface-iresnet18").items()}
    if head and head not in tensors:
        tensors[head] = torch.ones(512, 85742 // 100)
    assert same(build_network("magface-iresnet18"), tensors)


def test_a_classifier_under_another_name_is_named():
    tensors = {f"features.module.{k}": v for k, v in official("magface-iresnet18").items()} | {"head.w": torch.ones(2)}
    with pytest.raises(InputError, match=r"1 left over \(head\.w\)"):
        load(build_network("magface-iresnet18"), tensors)


def test_counters_of_batch_norms_may_be_there():
    tensors = official("iresnet18") | {"bn1.num_batches_tracked": torch.tensor(7)}
    network = build_network("iresnet18")
    assert load(network, tensors) == 156
    assert network.bn1.num_batches_tracked == 7


CLIP = {
    "whole": lambda state: state,
    "fine-tuned on several devices": lambda state: {f"module.{k}": v for k, v in state.items()},
    "tower alone": lambda state: {k: v for k, v in state.items() if k.startswith("visual.")},
    "tower without its name": lambda state: {k[7:]: v for k, v in state.items() if k.startswith("visual.")},
    "half precision": lambda state: {k: v.half() for k, v in state.items()},
    "with the archive's numbers": lambda state: state | {"input_resolution": torch.tensor(224)},
}


@pytest.mark.slow
@pytest.mark.parametrize("layout", CLIP)
def test_layouts_of_clip_files(layout):
    network = build_network("clip-vit-b32")
    assert load(network, CLIP[layout](official("clip-vit-b32"))) == 152
    wanted = official("clip-vit-b32")["visual.proj"]
    torch.testing.assert_close(network.proj.detach(), wanted, atol=2e-4 if layout == "half precision" else 0, rtol=0)
    assert network.proj.dtype == torch.float32


def test_the_cross_blocks_of_older_keras_ports_are_called_branch_1():
    tensors = official("inception-resnet-v1-keras-128")
    older = {}
    for key, value in tensors.items():
        older[re.sub(r"^(Block(?:17|8)_\d+)_Branch_[1-9]\d*_", r"\1_Branch_1_", key)] = value
    assert older.keys() != tensors.keys()
    a, b = (build_network("inception-resnet-v1-keras-128") for _ in range(2))
    load(a, tensors)
    load(b, older)
    assert all(torch.equal(v, b.state_dict()[k]) for k, v in a.state_dict().items())

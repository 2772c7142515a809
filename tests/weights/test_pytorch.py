"""State dicts and checkpoints with one inside are read; everything else is refused with a reason."""

from __future__ import annotations

import io
from collections import OrderedDict

import pytest

torch = pytest.importorskip("torch")

from facecure.errors import InputError  # noqa: E402
from facecure.weights import read_weights  # noqa: E402
from facecure.weights.pytorch import read_pytorch  # noqa: E402

STATE = OrderedDict(a=torch.arange(3.0), b=torch.ones(2, 2).half())


def saved(content, **options) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream, **options)
    return stream.getvalue()


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda s: s,
        lambda s: {"epoch": 3, "state_dict": s, "optimizer": {"lr": [1]}},
        lambda s: s | {"epoch": 3},
        lambda s: {"model": {"state_dict": s, "epoch": 3}},
        lambda s: {"net": s, "optimizer": {"state": {0: {"momentum": torch.ones(3)}}, "param_groups": [{"lr": 0.1}]}},
    ],
    ids=["alone", "in a checkpoint", "beside an epoch", "deeper", "beside an optimiser's"],
)
def test_a_state_dict_is_found(wrap, zipped):
    found = read_weights(saved(wrap(STATE), _use_new_zipfile_serialization=zipped)).tensors
    assert found.keys() == STATE.keys()
    assert all(torch.equal(found[key], STATE[key]) for key in STATE)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"epoch": 1, "best": {"loss": 2.0}}, "no state dict, but a dict with the keys epoch, best"),
        ([1, 2], "no state dict, but a list"),
        ({}, "no state dict, but an empty dict"),
        (torch.ones(3), "no state dict, but a Tensor"),
        ({0: torch.ones(3)}, "no state dict, but a dict with the keys 0"),
    ],
)
def test_other_content_is_named(content, says):
    with pytest.raises(InputError, match=says):
        read_weights(saved(content))


def test_all_state_dicts_of_a_checkpoint_are_there_by_their_keys():
    checkpoint = {"backbone": STATE, "head": {"weight": torch.ones(1)}, "ema": {"model": STATE, "steps": 3}}
    found = read_weights(saved(checkpoint)).states
    assert {key: list(state) for key, state in found.items()} == {
        "backbone": ["a", "b"], "head": ["weight"], "ema.model": ["a", "b"]
    }  # fmt: skip
    with pytest.raises(InputError, match=r"3 state dicts, not one: backbone, head, ema\.model"):
        read_pytorch(saved(checkpoint))


def test_safetensors_are_read():
    safetensors = pytest.importorskip("safetensors.torch")
    data = safetensors.save(dict(STATE))
    found = read_weights(data).tensors
    assert found.keys() == STATE.keys()
    assert all(torch.equal(found[key], STATE[key]) for key in STATE)
    with pytest.raises(InputError, match="safetensors file, or a damaged one"):
        read_weights(data[:-1])


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_that_needs_more_is_refused_with_a_recipe(tmp_path, zipped):
    class Attack:
        def __reduce__(self):
            return (open, (str(tmp_path / "written"), "w"))

    data = saved({"state_dict": STATE, "args": Attack()}, _use_new_zipfile_serialization=zipped)
    with pytest.raises(InputError, match=r"(?s)would run code.*without network.*weights_only=False") as raised:
        read_weights(data)
    said = str(raised.value).splitlines()[-1]
    assert said.startswith("torch says: ")
    assert said.endswith(".") and "\x1b" not in said and "io.open" in said  # noqa: PT018  # whole, and for any terminal
    assert not (tmp_path / "written").exists()


def test_the_recipe_makes_a_file_that_loads(tmp_path):
    import argparse
    import subprocess
    import sys

    torch.save({"state_dict": STATE, "args": argparse.Namespace(lr=1)}, tmp_path / "FILE")
    with pytest.raises(InputError) as raised:
        read_weights((tmp_path / "FILE").read_bytes())
    code = str(raised.value).split('python -c "')[1].split('"')[0]
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    assert read_weights((tmp_path / "FILE.tensors.pt").read_bytes()).tensors.keys() == STATE.keys()


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "not a PyTorch file"),
        (b"hello", "not a PyTorch file"),
        (b"<!DOCTYPE html><html>too many downloads</html>", "web page"),
        (b"\n <html>", "web page"),
        (saved(STATE)[:-40], "not a PyTorch file, or a damaged one"),
        (saved(STATE, _use_new_zipfile_serialization=False)[:-40], "not a PyTorch file"),
    ],
)
def test_what_is_no_file_of_weights_is_named(data, says):
    with pytest.raises(InputError, match=says):
        read_weights(data)

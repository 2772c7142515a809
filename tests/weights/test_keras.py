"""Keras models become torch networks that compute what tf-keras computes; what cannot be read is named.

The files and outputs of `official/keras` are tf-keras' own; see `official/make_keras.py`.
"""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
h5py = pytest.importorskip("h5py")

from facecure.errors import InputError, MissingDependency  # noqa: E402
from facecure.extractors.networks import build_network  # noqa: E402
from facecure.extractors.networks.folding import fold_batch_norms  # noqa: E402
from facecure.extractors.networks.network import load  # noqa: E402
from facecure.weights import read_weights  # noqa: E402

from ..extractors.official.filled import picture  # noqa: E402

FILES = Path(__file__).parents[1] / "extractors" / "official" / "keras"
OUTPUTS = np.load(FILES / "outputs.npz")
WHOLE = {"dense_block": ((37, 30), 15), "efficient": ((32, 32), 22), "chain": ((32, 32), 30)}


def network(file: Path):
    """The network of a file with its weights, and how many tensors those were."""
    weights = read_weights(file.read_bytes())
    made = build_network("keras", weights.config)
    return made.eval(), load(made, weights.tensors)


@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_model_computes_what_keras_computes(name):
    size, tensors = WHOLE[name]
    made, count = network(FILES / f"{name}.h5")
    assert count == tensors
    faces = torch.from_numpy(picture(*size))
    with torch.no_grad():
        np.testing.assert_allclose(made(faces).numpy(), OUTPUTS[name], rtol=0, atol=2e-6)
        np.testing.assert_allclose(made(faces[:1]).numpy(), OUTPUTS[name][:1], rtol=0, atol=2e-6)


@pytest.mark.filterwarnings("default:.*LeafSpec:FutureWarning")  # torch's own exporter
@pytest.mark.parametrize("name", WHOLE)
def test_it_can_be_exported_folded_and_differentiated(name, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    size, _ = WHOLE[name]
    made, _ = network(FILES / f"{name}.h5")
    faces = torch.from_numpy(picture(*size))
    torch.onnx.export(
        made, (faces,), tmp_path / "made.onnx", input_names=["faces"], output_names=["embedding"], dynamo=True,
        dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=4096)},), verbose=False,
    )  # fmt: skip
    session = onnxruntime.InferenceSession(tmp_path / "made.onnx")
    for count in (1, 2):
        (found,) = session.run(None, {"faces": faces[:count].numpy()})
        np.testing.assert_allclose(found, OUTPUTS[name][:count], rtol=0, atol=5e-6)
    with torch.no_grad():
        np.testing.assert_allclose(fold_batch_norms(made)(faces).numpy(), OUTPUTS[name], rtol=0, atol=5e-6)
    faces.requires_grad_(True)
    made(faces).sum().backward()
    assert faces.grad.abs().sum() > 0


def test_weights_without_a_model_need_an_architecture():
    with pytest.raises(InputError, match="weights without a model"):
        network(FILES / "weights_alone.h5")
    assert len(read_weights((FILES / "weights_alone.h5").read_bytes()).tensors) == 15


def test_code_in_a_file_is_refused_with_a_recipe():
    with pytest.raises(InputError, match=r"(?s)layer half is a Lambda.*never run.*tf2onnx"):
        network(FILES / "with_lambda.h5")


@pytest.fixture
def changed(tmp_path):
    """Return a function that changes a copy of a model's file."""

    def change(edit, name="efficient"):
        file = tmp_path / "changed.h5"
        shutil.copy(FILES / f"{name}.h5", file)
        file.chmod(0o644)
        with h5py.File(file, "r+") as opened:
            edit(opened)
        return file

    return change


def edit_config(edit):
    """Return an edit of the model's config."""

    def on(file):
        config = json.loads(file.attrs["model_config"])
        edit(config)
        file.attrs["model_config"] = json.dumps(config)

    return on


def layer(config, kind):
    return next(entry for entry in config["config"]["layers"] if entry["class_name"] == kind)


def set_layer(kind, **values):
    return edit_config(lambda config: layer(config, kind)["config"].update(values))


def swap_names(file):
    group = file["model_weights"]["dense"]
    group.attrs["weight_names"] = group.attrs["weight_names"][::-1]


def drop_bias(file):
    group = file["model_weights"]["dense"]
    group.attrs["weight_names"] = group.attrs["weight_names"][:1]


def cut_loose(config):
    layer(config, "Dense")["inbound_nodes"] = [[["nothing", 0, 0, {}]]]


MISTAKES = {
    "a class that is not known": (
        edit_config(lambda c: layer(c, "Flatten").update(class_name="Attention")), "of class Attention, which is not"
    ),
    "an activation that is not known": (set_layer("Dense", activation="mish"), "dense: activation 'mish'"),
    "rows and columns last": (set_layer("Conv2D", data_format="channels_first"), "data_format channels_first"),
    "a slope per pixel": (set_layer("PReLU", shared_axes=None), "PReLU with a slope per pixel"),
    "a batch norm over rows": (set_layer("BatchNormalization", axis=[1]), "BatchNormalization over axis"),
    "an open size": (set_layer("InputLayer", batch_input_shape=[None, None, None, 3]), "no fixed size"),
    "Keras 3": (
        edit_config(lambda c: layer(c, "Dense").update(inbound_nodes=[{"args": []}])), "written by Keras 3"
    ),
    "arguments": (
        edit_config(lambda c: layer(c, "Dense")["inbound_nodes"][0][0].__setitem__(3, {"scale": 2})), "with arguments"
    ),
    "a subclass": (edit_config(lambda c: c.update(class_name="Mine")), "class 'Mine'"),
    "a layer that reads nothing": (edit_config(cut_loose), "layers dense have no inputs"),
    "a shape of other size": (set_layer("Reshape", target_shape=[1, 1, 17]), r"Reshape of 16 values to \[1, 1, 17\]"),
    "a shape that does not divide": (set_layer("Reshape", target_shape=[1, 5, -1]), r"16 values to \[1, 5, -1\]"),
    "what torch refuses": (
        set_layer("DepthwiseConv2D", padding="valid", kernel_size=[99, 99]),
        r"depthwise_conv2d, DepthwiseConv2D, cannot be built or called with inputs \(8,",
    ),
    "a config that is not one": (set_layer("Dense", units="many"), "layer dense, Dense, cannot be built"),
    "another order": (swap_names, r"20 of 22 tensors fit; 2 missing .* 2 left over \(dense:bias"),
    "a weight less": (drop_bias, "21 of 22 tensors fit; 1 missing"),
    "another shape": (set_layer("Dense", units=9), r"2 of another shape .*\(7, 512\) instead of \(9, 512\)"),
}  # fmt: skip


@pytest.mark.parametrize("target", [[1, 1, -1], [-1, 1, 16], [1, -1, 16]])
def test_a_reshape_may_leave_one_side_open(changed, target):
    made, _ = network(changed(set_layer("Reshape", target_shape=target)))
    with torch.no_grad():
        found = made(torch.from_numpy(picture(32, 32))).numpy()
    np.testing.assert_allclose(found, OUTPUTS["efficient"], rtol=0, atol=2e-6)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_what_is_not_known_or_does_not_fit_is_named(changed, mistake):
    edit, says = MISTAKES[mistake]
    with pytest.raises(InputError, match=says):
        network(changed(edit))


def test_long_lists_of_names_may_be_spread(changed):
    def spread(file):
        names = file["model_weights"].attrs["layer_names"]
        del file["model_weights"].attrs["layer_names"]
        file["model_weights"].attrs["layer_names0"] = names[:5]
        file["model_weights"].attrs["layer_names1"] = names[5:]

    assert network(changed(spread))[1] == 22


def test_a_sequential_of_older_keras_is_a_plain_list_whose_first_layer_has_the_size():
    config = read_weights((FILES / "efficient.h5").read_bytes()).config
    inner = {"class_name": "Model", "config": config["config"] | {"name": "inner"}}
    dense = {"class_name": "Dense", "config": {"name": "top", "units": 5, "activation": "linear"}}
    made = build_network("keras", {"class_name": "Sequential", "config": [inner, dense]})
    assert made(torch.zeros(2, 3, 32, 32)).shape == (2, 5)
    first = {"class_name": "Flatten", "config": {"name": "flat", "batch_input_shape": [None, 4, 5, 3]}}
    made = build_network("keras", {"class_name": "Sequential", "config": [first, dense]})
    assert made(torch.zeros(2, 3, 4, 5)).shape == (2, 5)


@pytest.mark.parametrize("cut", [8, 1000, -1])
def test_a_damaged_file_is_named(cut):
    with pytest.raises(InputError, match="no Keras file, or a damaged one"):
        read_weights((FILES / "efficient.h5").read_bytes()[:cut])


def test_another_hdf5_file_is_named():
    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        file["values"] = np.ones(3)
    with pytest.raises(InputError, match="no Keras file"):
        read_weights(stream.getvalue())


def test_h5py_is_an_extra(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    with pytest.raises(MissingDependency, match=r"facecure\[convert\]"):
        read_weights((FILES / "efficient.h5").read_bytes())

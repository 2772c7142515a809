"""int8: the same faces give the same bytes, other faces another digest; cosines stay near on both runtimes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

pytest.importorskip("torch")
pytest.importorskip("onnxscript")
pytest.importorskip("openvino")

from facecure.errors import InputError
from facecure.execution import Execution
from facecure.extractors import packaged
from facecure.extractors.export import export_onnx, read_export
from facecure.extractors.packaged import packaged_specs
from facecure.extractors.quantize import CALIBRATED_ON, spread
from facecure.extractors.runtimes import open_extractor
from facecure.extractors.spec import parse_spec, read_spec
from facecure.types import Faces

pytestmark = pytest.mark.slow

FOLDER = Path(packaged.__file__).parent


def torch_spec(name):
    table = {
        "name": name, "weights": f"{name}.pt", "architecture": f"tiny-{name}", "embedding": {"size": 64},
        "input": {"width": 64, "height": 64, "mean": [127.5] * 3, "std": [127.5] * 3},
    }  # fmt: skip
    return parse_spec(table, FOLDER)


SPECS = {"plain.pt": torch_spec("plain")} | {file.stem: read_spec(file) for file in packaged_specs()}


def faces(spec, count=11, seed=0):
    """Smooth random pictures: what networks for faces were not made for, but with edges and areas."""
    coarse = np.random.default_rng(seed).uniform(0, 255, (count, 8, 8, 3)).astype(np.uint8)
    return Faces(coarse.repeat(8, axis=1).repeat(8, axis=2), spec.geometry)


@pytest.fixture(scope="module", params=SPECS)
def quantised(request, tmp_path_factory):
    """A spec and its export in int8, calibrated on eleven faces: a batch, and one that is filled up."""
    spec, file = SPECS[request.param], tmp_path_factory.mktemp("int8") / "model.onnx"
    export_onnx(spec, file, precision="int8", faces=faces(spec))
    return spec, file


@pytest.mark.parametrize("runtime", ["onnx", "openvino"])
def test_embeddings_are_near_and_have_a_digest_of_their_own(quantised, runtime):
    spec, file = quantised
    graph = read_export(file)
    whole, coarse = open_extractor(spec), open_extractor(spec, Execution(runtime, "int8"), graph=graph)
    there = faces(spec, 9, seed=1)
    a, b = whole.embed(there).vectors.astype(np.float64), coarse.embed(there).vectors
    assert 0 < (np.square(a - b).sum(1) / 2).max() < 0.03
    assert coarse.precision == coarse.what_ran["precision"] == "int8"
    assert coarse.digest == spec.digest(graph.weights_sha256, "int8", graph.calibration.sha256) != whole.digest
    assert coarse.what_ran["calibration"]["pictures"] == 11
    assert "7 bits" in coarse.what_ran["calibration"]["method"]
    alone = coarse.embed(Faces(there.pixels[-1:], spec.geometry)).vectors
    np.testing.assert_array_equal(alone[0], b[-1])  # whoever stands beside a face


def test_the_same_faces_give_the_same_bytes(quantised, tmp_path):
    spec, file = quantised
    export_onnx(spec, tmp_path / "again.onnx", precision="int8", faces=faces(spec))
    assert (tmp_path / "again.onnx").read_bytes() == file.read_bytes()
    export_onnx(spec, tmp_path / "other.onnx", precision="int8", faces=faces(spec, seed=2))
    known = {entry.key: entry.value for entry in onnx.load(file).metadata_props}
    other = {entry.key: entry.value for entry in onnx.load(tmp_path / "other.onnx").metadata_props}
    assert known["facecure.precision"] == "int8"
    assert known["facecure.digest"] != other["facecure.digest"]
    assert known["facecure.weights_sha256"] == other["facecure.weights_sha256"]


def test_two_products_fit_the_sixteen_bits_of_avx2(quantised):
    """vpmaddubsw adds uint8 × int8 in pairs and saturates: 255 × (64 + 64) is the most that may come."""
    _, file = quantised
    weights = [numpy_helper.to_array(one) for one in onnx.load(file).graph.initializer]
    layers = [one for one in weights if one.dtype == np.int8 and one.ndim > 1]
    assert layers
    assert all(np.abs(one.astype(int)).max() <= 64 for one in layers)
    assert np.iinfo(np.int16).max >= 255 * (64 + 64)


def test_preprocessing_inside(tmp_path):
    spec = SPECS["plain"]
    export_onnx(spec, tmp_path / "inside.onnx", precision="int8", faces=faces(spec), inside=True)
    export_onnx(spec, tmp_path / "outside.onnx", precision="int8", faces=faces(spec))
    assert read_export(tmp_path / "inside.onnx").calibration == read_export(tmp_path / "outside.onnx").calibration
    import onnxruntime

    (found,) = onnxruntime.InferenceSession(tmp_path / "inside.onnx").run(None, {"pixels": faces(spec).pixels})
    found = found / np.linalg.norm(found, axis=1, keepdims=True)
    expected = open_extractor(spec, Execution("onnx", "int8"), graph=read_export(tmp_path / "outside.onnx")).embed(
        faces(spec)
    )
    np.testing.assert_allclose((found * expected.vectors).sum(1), 1, atol=0.01)


def test_what_is_not_calibrated_is_not_int8(tmp_path):
    spec, file = SPECS["plain"], tmp_path / "model.onnx"
    export_onnx(spec, file, precision="int8", faces=faces(spec))
    export_onnx(spec, tmp_path / "whole.onnx")
    for runtime in ("onnx", "openvino"):
        with pytest.raises(InputError, match=r"its graph is not in int8; make it: .* --precision int8 --faces DIR"):
            open_extractor(spec, Execution(runtime, "int8"), graph=read_export(tmp_path / "whole.onnx"))
        with pytest.raises(InputError, match="fp32 is asked for, and its graph is in int8"):
            open_extractor(spec, Execution(runtime), graph=read_export(file))
    with pytest.raises(InputError, match="calibrated on faces; hand some over as faces"):
        export_onnx(spec, tmp_path / "none.onnx", precision="int8")
    with pytest.raises(InputError, match="there are none"):
        export_onnx(spec, tmp_path / "none.onnx", precision="int8", faces=faces(spec, 0))
    with pytest.raises(InputError, match="torch computes in fp32 or bf16 or fp16, not int8"):
        open_extractor(spec, Execution("torch", "int8"))


def test_a_graph_without_layers_has_nothing_in_int8(make_spec, tmp_path):
    spec = read_spec(make_spec())
    some = Faces(np.zeros((2, 16, 16, 3), np.uint8), spec.geometry)
    with pytest.raises(InputError, match="no layer that could be quantised"):
        export_onnx(spec, tmp_path / "model.onnx", precision="int8", faces=some)


@pytest.mark.parametrize("count", [0, 1, 2, CALIBRATED_ON - 1, CALIBRATED_ON, CALIBRATED_ON + 1, 1000])
def test_calibrating_faces_are_spread_from_first_to_last(count):
    taken = spread(count)
    assert len(taken) == min(count, CALIBRATED_ON)
    assert (np.diff(taken) > 0).all()
    if count:
        assert (taken[0], taken[-1]) == (0, count - 1 if count > 1 else 0)

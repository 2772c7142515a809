"""Exports compute what their network computes, in any batch, and say what they were made of; runtimes agree on them."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import onnx
import pytest

torch = pytest.importorskip("torch")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

from facecure.errors import DigestMismatch, InputError, MissingDependency  # noqa: E402
from facecure.execution import Execution  # noqa: E402
from facecure.extractors.export import OPSET, export_onnx, read_export  # noqa: E402
from facecure.extractors.packaged import packaged_specs, packaged_surrogate  # noqa: E402
from facecure.extractors.runtimes import default_runtime, open_extractor  # noqa: E402
from facecure.extractors.spec import read_spec  # noqa: E402
from facecure.kernels.bf16 import has_bf16  # noqa: E402
from facecure.types import Faces  # noqa: E402

pytestmark = pytest.mark.slow

SPECS = {file.stem: packaged_surrogate(file) for file in packaged_specs()}


def faces(spec, count: int = 35) -> Faces:
    shape = (count, spec.geometry.height, spec.geometry.width, 3)
    return Faces(np.random.default_rng(0).integers(0, 256, shape, np.uint8), spec.geometry)


@pytest.fixture(scope="module", params=SPECS)
def exported(request, tmp_path_factory):
    spec = replace(SPECS[request.param], colour="BGR", std=(100.0, 120.0, 140.0))  # no mix-up may stay unseen
    file = tmp_path_factory.mktemp("exports") / "model.onnx"
    export_onnx(spec, file)
    return spec, file


def test_metadata_opset_and_folding(exported):
    spec, file = exported
    model = onnx.load(file)
    known = {entry.key: entry.value for entry in model.metadata_props}
    sha256 = spec.hashed_weights()[1]
    assert known["facecure.weights_sha256"] == sha256 == read_export(file).weights_sha256
    assert known["facecure.digest"] == spec.digest(sha256)
    assert json.loads(known["facecure.preprocessing"]) == spec.preprocessing()
    assert known["facecure.licence"] == spec.licence
    assert max(entry.version for entry in model.opset_import if entry.domain == "") == OPSET
    assert "BatchNormalization" not in {node.op_type for node in model.graph.node}
    assert {path.name for path in file.parent.iterdir()} == {"model.onnx"}  # no data outside


@pytest.mark.parametrize("count", [1, 2, 7])
def test_any_batch(exported, count):
    spec, file = exported
    given = open_extractor(spec)._normalise(faces(spec, count).pixels)
    (found,) = onnxruntime.InferenceSession(file).run(None, {"faces": given})
    expected = open_extractor(replace(spec, normalise=False)).embed(faces(spec, count)).vectors
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_preprocessing_inside(exported, tmp_path):
    spec, _ = exported
    export_onnx(spec, tmp_path / "inside.onnx", inside=True)
    (found,) = onnxruntime.InferenceSession(tmp_path / "inside.onnx").run(None, {"pixels": faces(spec).pixels})
    expected = open_extractor(replace(spec, normalise=False)).embed(faces(spec)).vectors
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize(("runtime", "precision", "cosine"), [
    ("onnx", "fp32", 1e-10), ("openvino", "fp32", 1e-10), ("openvino", "bf16", 1e-3), ("torch", "bf16", 1e-3),
    ("torch", "fp16", 1e-4),
])  # fmt: skip
def test_runtimes_agree_and_say_what_ran(exported, runtime, precision, cosine):
    if runtime == "openvino":
        pytest.importorskip("openvino")
        if precision == "bf16" and not has_bf16():
            pytest.skip("this processor has no bfloat16")
    spec, file = exported
    reference = open_extractor(spec)
    other = open_extractor(spec, Execution(runtime, precision), graph=read_export(file))
    a, b = reference.embed(faces(spec)).vectors, other.embed(faces(spec)).vectors
    assert (np.square(a.astype(np.float64) - b).sum(1) / 2).max() < cosine
    ran = other.what_ran
    assert ran["runtime"].startswith({"onnx": "onnxruntime "}.get(runtime, f"{runtime} "))
    assert ran["precision"] == precision
    assert ran["weights_sha256"] == reference.weights_sha256
    assert (other.digest == reference.digest) == (precision == "fp32")
    alone = other.embed(Faces(faces(spec).pixels[-1:], spec.geometry)).vectors
    np.testing.assert_array_equal(alone[0], b[-1])  # whoever stands beside a face


@pytest.mark.parametrize("limit", ["AVX2", "avx512_core", None])
def test_bf16_where_the_processor_lacks_it_names_what_it_has(exported, monkeypatch, limit):
    pytest.importorskip("openvino")
    spec, file = exported
    if limit is None:
        monkeypatch.setattr("facecure.extractors.runtimes.openvino.has_bf16", lambda: False)
    else:
        monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", limit)
    with pytest.raises(InputError, match="this processor has no bfloat16; ask for int8 or fp32"):
        open_extractor(spec, Execution("openvino", "bf16"), graph=read_export(file))


def test_what_cannot_run_is_named(exported, tmp_path):
    spec, file = exported
    assert default_runtime(spec) == "torch"
    with pytest.raises(InputError, match=r"only torch executes .*models export"):
        open_extractor(spec, Execution("onnx"))
    with pytest.raises(InputError, match="onnx computes in fp32 or int8, not bf16"):
        open_extractor(spec, Execution("onnx", "bf16"), graph=read_export(file))
    with pytest.raises(InputError, match="unknown runtime 'caffe'; known are torch"):
        open_extractor(spec, Execution("caffe"))
    for runtime, device, says in (
        ("openvino", "cuda", "openvino runs on cpu, not on 'cuda'"),
        ("tensorrt", "cpu", "tensorrt runs on cuda, not on 'cpu'"),
        ("onnx", "mps", "onnx runs on cpu or cuda"),
    ):
        with pytest.raises(InputError, match=says):
            open_extractor(spec, Execution(runtime, device=device), graph=read_export(file))
    with pytest.raises(DigestMismatch, match="export it again"):
        open_extractor(replace(spec, sha256="0" * 64), Execution("onnx"), graph=read_export(file))
    for content, says in (
        (b"hello", "not an ONNX file"),
        (packaged_specs()[0].with_suffix(".onnx").read_bytes(), "made of"),
    ):
        (tmp_path / "other.onnx").write_bytes(content)
        with pytest.raises(InputError, match=says):
            read_export(tmp_path / "other.onnx")
    with pytest.raises(InputError, match="No such file"):
        read_export(tmp_path / "nowhere.onnx")


def test_a_device_that_is_not_there_is_an_error_not_a_fallback(exported):
    spec, file = exported
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    with pytest.raises(InputError, match="device 'cuda' cannot be used"):
        open_extractor(spec, Execution("torch", device="cuda"))
    with pytest.raises(MissingDependency, match=r"onnxruntime-gpu.*facecure\[gpu\]"):
        open_extractor(spec, Execution("onnx", device="cuda:0"), graph=read_export(file))


def test_weights_that_are_a_graph_keep_it(tmp_path):
    spec = read_spec(packaged_specs()[0])
    assert default_runtime(spec) == "onnx"
    export_onnx(spec, tmp_path / "model.onnx", inside=True)
    (found,) = onnxruntime.InferenceSession(tmp_path / "model.onnx").run(None, {"pixels": faces(spec).pixels})
    expected = open_extractor(replace(spec, normalise=False)).embed(faces(spec)).vectors
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    with pytest.raises(InputError, match="whose precision is its own"):
        export_onnx(spec, tmp_path / "lower.onnx", precision="fp16")


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_a_lower_precision_is_valid_with_strict_types(exported, tmp_path, precision):
    spec, _ = exported
    export_onnx(spec, tmp_path / "model.onnx", precision=precision)
    model = onnx.shape_inference.infer_shapes(
        onnx.load(tmp_path / "model.onnx"), check_type=True, strict_mode=True, data_prop=True
    )
    casts = [node for node in model.graph.node if node.op_type == "Cast"]
    assert len(casts) == 2  # float32 in and out
    assert {value.type.tensor_type.elem_type for value in (*model.graph.input, *model.graph.output)} == {
        onnx.TensorProto.FLOAT
    }


def test_nodes_of_a_lower_precision(tmp_path):
    spec = SPECS["plain"]
    export_onnx(spec, tmp_path / "model.onnx", precision="fp16")
    kinds = {
        weight.data_type for weight in onnx.load(tmp_path / "model.onnx").graph.initializer if len(weight.dims) > 1
    }
    assert kinds == {onnx.TensorProto.FLOAT16}
    given = open_extractor(spec)._normalise(faces(spec, 4).pixels)
    (found,) = onnxruntime.InferenceSession(tmp_path / "model.onnx").run(None, {"faces": given})
    expected = open_extractor(replace(spec, normalise=False)).embed(faces(spec, 4)).vectors
    assert found.dtype == np.float32
    assert np.abs(found - expected).max() < 1e-2 * np.abs(expected).max()

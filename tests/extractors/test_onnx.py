"""ONNX Runtime returns what the graph means, bit for bit whoever stands beside a face, or says what is wrong."""

from __future__ import annotations

import hashlib
import sys
from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from facecure.errors import DigestMismatch, InputError, MissingDependency
from facecure.execution import Execution
from facecure.extractors.runtimes.onnx import OnnxExtractor
from facecure.extractors.spec import ExtractorSpec
from facecure.types import FaceGeometry, Faces

MEAN, STD = (127.5, 100.0, 30.0), (128.0, 64.0, 255.0)  # a channel mix-up cannot stay unseen
GEOMETRY = FaceGeometry(12, 8)  # width ≠ height: nor can swapped axes
SIZE = 2 * 3 * 3  # 4×4 blocks
FLOAT, HALF = TensorProto.FLOAT, TensorProto.FLOAT16


@pytest.fixture
def extractor(tmp_path):
    """Return a function that makes an extractor from nodes between `faces` and `outputs`."""

    def make(nodes, outputs, *, batch="n", kind=FLOAT, weights=None, shape=None, load=None, **spec) -> OnnxExtractor:
        wanted = ExtractorSpec(
            **{
                "name": "test", "weights": tmp_path / "test.onnx", "sha256": None, "geometry": GEOMETRY,
                "colour": "RGB", "layout": "NCHW", "mean": MEAN, "std": STD, "embedding_size": SIZE, "normalise": True,
            }
            | spec
        )  # fmt: skip
        sides = [3, 8, 12] if wanted.layout == "NCHW" else [8, 12, 3]
        graph = helper.make_graph(
            nodes,
            "test",
            [helper.make_tensor_value_info("faces", kind, shape or [batch, *sides])],
            [helper.make_tensor_value_info(name, kind, sides) for name, sides in outputs.items()],
            [numpy_helper.from_array(array, name) for name, array in (weights or {}).items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        onnx.checker.check_model(model)
        onnx.save(model, wanted.weights)
        return OnnxExtractor(wanted, Execution(**(load or {})))

    return make


def blocks(layout: str = "NCHW", result: str = "embedding") -> list:
    """Nodes that average 4×4 blocks; order of the values: plane, row, column."""
    start = [] if layout == "NCHW" else [helper.make_node("Transpose", ["faces"], ["planes"], perm=[0, 3, 1, 2])]
    return [
        *start,
        helper.make_node("AveragePool", ["planes" if start else "faces"], ["b"], kernel_shape=[4, 4], strides=[4, 4]),
        helper.make_node("Flatten", ["b"], [result], axis=1),
    ]


def expected(faces: Faces, colour: str = "RGB", *, normalise: bool = True) -> np.ndarray:
    """The block means in float64, from the definition."""
    pixels = faces.pixels.astype(np.float64)[..., :: 1 if colour == "RGB" else -1]
    planes = ((pixels - MEAN) / STD).transpose(0, 3, 1, 2)
    n, c, h, w = planes.shape
    vectors = planes.reshape(n, c, h // 4, 4, w // 4, 4).mean(axis=(3, 5)).reshape(n, SIZE)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True) if normalise else vectors


def faces(count: int, seed: int = 0) -> Faces:
    return Faces(np.random.default_rng(seed).integers(0, 256, (count, 8, 12, 3), dtype=np.uint8), GEOMETRY)


@pytest.mark.parametrize("normalise", [True, False])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("colour", ["RGB", "BGR"])
def test_embedding_is_what_the_graph_means(extractor, colour, layout, normalise):
    made = extractor(blocks(layout), {"embedding": ["n", SIZE]}, colour=colour, layout=layout, normalise=normalise)
    found = made.embed(faces(3))
    assert found.vectors.dtype == np.float32
    np.testing.assert_allclose(found.vectors, expected(faces(3), colour, normalise=normalise), rtol=0, atol=1e-6)
    assert found.extractor == made.digest


@pytest.mark.parametrize("batch", ["n", 1, 4, 8])
@pytest.mark.parametrize("count", [0, 1, 7, 8, 9])
def test_any_number_of_faces_and_any_fixed_batch(extractor, count, batch):
    made = extractor(blocks(), {"embedding": [batch, SIZE]}, batch=batch)
    found = made.embed(faces(count)).vectors
    assert found.shape == (count, SIZE)
    assert made.batch == (8 if batch == "n" else batch)
    np.testing.assert_allclose(found, expected(faces(count)), rtol=0, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(found.astype(np.float64), axis=1), np.ones(count), rtol=0, atol=1e-6)


def test_a_half_precision_graph_says_so(extractor):
    made = extractor(blocks(), {"embedding": ["n", SIZE]}, kind=HALF)
    found = made.embed(faces(9))
    assert found.vectors.dtype == np.float32
    # input, mean and output each rounded to 11 bits
    np.testing.assert_allclose(found.vectors, expected(faces(9)), rtol=0, atol=4 * 2**-11)
    assert made.what_ran["precision"] == "fp16"


@pytest.mark.parametrize("size", [SIZE, 2 * 3 * 4 * 12])
def test_of_several_outputs_the_one_of_the_specs_size_is_taken(extractor, size):
    nodes = [*blocks(), helper.make_node("Flatten", ["faces"], ["whole"], axis=1)]
    made = extractor(nodes, {"whole": ["n", 288], "embedding": ["n", SIZE]}, embedding_size=size, normalise=False)
    planes = ((faces(2).pixels - np.array(MEAN)) / STD).transpose(0, 3, 1, 2).reshape(2, -1)
    wanted = expected(faces(2), normalise=False) if size == SIZE else planes
    np.testing.assert_allclose(made.embed(faces(2)).vectors, wanted, rtol=0, atol=1e-6)


def test_an_output_of_the_right_size_is_found_whatever_its_shape(extractor):
    nodes = [*blocks(result="flat"), helper.make_node("Reshape", ["flat", "shape"], ["embedding"])]
    made = extractor(nodes, {"embedding": ["n", SIZE, 1, 1]}, weights={"shape": np.array([-1, SIZE, 1, 1])})
    np.testing.assert_allclose(made.embed(faces(9)).vectors, expected(faces(9)), rtol=0, atol=1e-6)


TWO = [*blocks(), helper.make_node("Neg", ["embedding"], ["other"])]
WRONG = {
    "two outputs of one size": (TWO, {"embedding": ["n", SIZE], "other": ["n", SIZE]}, {}, "output of size 18 among"),
    "no output of the size": (blocks(), {"embedding": ["n", SIZE]}, {"embedding_size": 19}, "size 19 among .*18"),
    "two outputs of unknown size": (TWO, {"embedding": ["n", "d"], "other": ["n", "d"]}, {}, "no single output"),
    "other picture size": (blocks(), {"embedding": ["n", SIZE]}, {"shape": ["n", 3, 12, 8]}, r"takes .*12, 8.*8, 12"),
    "other layout": (blocks("NHWC"), {"embedding": ["n", SIZE]}, {"shape": ["n", 8, 12, 3]}, "takes .*3, 8, 12"),
    "three axes": ([helper.make_node("Flatten", ["faces"], ["embedding"])], {"embedding": [1, 18]},
                   {"shape": [1, 3, 6], "batch": 1}, "takes .*1, 3, 6"),
    "double precision": (
        [helper.make_node("Flatten", ["faces"], ["embedding"])], {"embedding": ["n", 288]},
        {"kind": TensorProto.DOUBLE, "embedding_size": 288}, "double",
    ),
}  # fmt: skip


@pytest.mark.parametrize("mistake", WRONG)
def test_a_graph_that_does_not_fit_its_spec_is_refused(extractor, mistake):
    nodes, outputs, options, message = WRONG[mistake]
    with pytest.raises(InputError, match=f"extractor test: .*{message}"):
        extractor(nodes, outputs, **options)


def test_a_size_that_only_the_result_shows_is_checked_there(extractor):
    nodes = [  # a length that depends on the values: no shape inference sees it
        *blocks(result="all"),
        helper.make_node("Mul", ["faces", "zero"], ["zeros"]),
        helper.make_node("ReduceMax", ["zeros"], ["none"], keepdims=0),
        helper.make_node("Add", ["none", "size"], ["length"]),
        helper.make_node("Cast", ["length"], ["end"], to=TensorProto.INT64),
        helper.make_node("Slice", ["all", "start", "end", "axis"], ["embedding"]),
    ]
    weights = {
        "zero": np.zeros(1, np.float32), "size": np.full(1, SIZE, np.float32),
        "start": np.zeros(1, np.int64), "axis": np.ones(1, np.int64),
    }  # fmt: skip
    fitting = extractor(nodes, {"embedding": ["n", "d"]}, weights=weights)
    np.testing.assert_allclose(fitting.embed(faces(3)).vectors, expected(faces(3)), rtol=0, atol=1e-6)
    other = extractor(nodes, {"embedding": ["n", "d"]}, weights=weights, embedding_size=17)
    with pytest.raises(InputError, match=r"extractor test: .*18 values per face.*17"):
        other.embed(faces(1))


def test_two_inputs_are_refused(tmp_path, extractor):
    extractor(blocks(), {"embedding": ["n", SIZE]})
    model = onnx.load(tmp_path / "test.onnx")
    model.graph.input.append(helper.make_tensor_value_info("second", FLOAT, [1]))
    onnx.save(model, tmp_path / "test.onnx")
    spec = ExtractorSpec("test", tmp_path / "test.onnx", None, GEOMETRY, "RGB", "NCHW", MEAN, STD, SIZE, True)
    with pytest.raises(InputError, match=r"extractor test: .*\['faces', 'second'\]"):
        OnnxExtractor(spec)


def test_a_file_that_is_no_graph_is_refused(tmp_path):
    (tmp_path / "test.onnx").write_text("hello")
    spec = ExtractorSpec("test", tmp_path / "test.onnx", None, GEOMETRY, "RGB", "NCHW", MEAN, STD, SIZE, True)
    with pytest.raises(InputError, match=r"extractor test: ONNX Runtime cannot load .*test\.onnx"):
        OnnxExtractor(spec)


def test_other_weights_than_promised_are_never_opened(extractor):
    with pytest.raises(DigestMismatch, match="extractor test"):
        extractor(blocks(), {"embedding": ["n", SIZE]}, sha256="0" * 64)


@pytest.fixture
def outside(extractor, tmp_path):
    """Return a spec whose graph keeps its factors 1, 2, … in test.data, and those factors."""
    nodes = [*blocks(result="means"), helper.make_node("Mul", ["means", "factor"], ["embedding"])]
    factor = np.arange(1, SIZE + 1, dtype=np.float32)
    spec = extractor(nodes, {"embedding": ["n", SIZE]}, weights={"factor": factor}, normalise=False).spec
    onnx.save(onnx.load(spec.weights), spec.weights, save_as_external_data=True, location="test.data", size_threshold=0)
    return spec, factor


def test_values_kept_outside_the_graphs_file_are_part_of_it(outside, tmp_path):
    spec, factor = outside
    made = OnnxExtractor(spec)
    wanted = expected(faces(3), normalise=False) * factor
    np.testing.assert_allclose(made.embed(faces(3)).vectors, wanted, rtol=1e-5, atol=1e-5)
    together = spec.weights.read_bytes() + (tmp_path / "test.data").read_bytes()
    assert made.what_ran["weights_sha256"] == hashlib.sha256(together).hexdigest()
    (tmp_path / "test.data").write_bytes(factor[::-1].tobytes())
    assert OnnxExtractor(spec).digest != made.digest
    with pytest.raises(DigestMismatch):
        OnnxExtractor(replace(spec, sha256=made.weights_sha256))


@pytest.mark.parametrize(("location", "message"), [
    ("../secret.data", "not in its own folder"), ("/etc/hostname", "not in its own folder"),
    ("link.data", "not in its own folder"), ("nowhere.data", "No such file.*place it there"),
    ("short.data", "cannot be taken in"), ("", "keeps values in"),
])  # fmt: skip
def test_values_from_elsewhere_are_refused(outside, tmp_path, location, message):
    spec, factor = outside
    (tmp_path.parent / "secret.data").write_bytes(factor.tobytes())
    (tmp_path / "link.data").symlink_to(tmp_path.parent / "secret.data")
    (tmp_path / "short.data").write_bytes(factor.tobytes()[:-4])
    model = onnx.load(spec.weights, load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = location
    spec.weights.write_bytes(model.SerializeToString())
    with pytest.raises(InputError, match=message):
        OnnxExtractor(spec)


@pytest.mark.parametrize(
    "other", [FaceGeometry(8, 12), FaceGeometry(12, 8, stretch=True), FaceGeometry(12, 8, padding=0.1)], ids=str
)
def test_faces_of_another_geometry_are_refused(extractor, other):
    made = extractor(blocks(), {"embedding": ["n", SIZE]})
    with pytest.raises(InputError, match=r"extractor test: .*another geometry"):
        made.embed(Faces(np.zeros((1, other.height, other.width, 3), np.uint8), other))


@pytest.mark.parametrize("normalise", [True, False])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_no_number_is_refused_and_its_face_named(extractor, value, normalise):
    # the graph answers `value` wherever the face's first value exceeds the white one's half
    nodes = [
        *blocks(result="good"),
        helper.make_node("Greater", ["good", "limit"], ["bright"]),
        helper.make_node("Where", ["bright", "bad", "good"], ["embedding"]),
    ]
    weights = {"limit": np.array([0.99] * 1 + [1e9] * (SIZE - 1), np.float32), "bad": np.array([value], np.float32)}
    made = extractor(nodes, {"embedding": ["n", SIZE]}, weights=weights, normalise=normalise)
    pixels = np.full((11, 8, 12, 3), 60, np.uint8)
    assert np.isfinite(made.embed(Faces(pixels, GEOMETRY)).vectors).all()
    pixels[9] = 255
    with pytest.raises(InputError, match=r"extractor test .*face 9 of 11"):
        made.embed(Faces(pixels, GEOMETRY))


@pytest.mark.parametrize("normalise", [True, False])
def test_a_zero_vector_has_no_direction(extractor, normalise):
    nodes = [*blocks(result="good"), helper.make_node("Mul", ["good", "zero"], ["embedding"])]
    made = extractor(nodes, {"embedding": ["n", SIZE]}, weights={"zero": np.zeros(1, np.float32)}, normalise=normalise)
    if normalise:
        with pytest.raises(InputError, match="face 0 of 3"):
            made.embed(faces(3))
    else:
        assert not made.embed(faces(3)).vectors.any()


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("batch", ["n", 5])
def test_a_face_has_the_same_bits_wherever_it_stands(extractor, batch, threads):
    rng = np.random.default_rng(1)
    nodes = [
        helper.make_node("Conv", ["faces", "kernel"], ["maps"], kernel_shape=[3, 3]),
        helper.make_node("Flatten", ["maps"], ["flat"], axis=1),
        helper.make_node("MatMul", ["flat", "dense"], ["embedding"]),
    ]
    weights = {
        "kernel": rng.normal(size=(5, 3, 3, 3)).astype(np.float32),
        "dense": rng.normal(size=(5 * 6 * 10, 33)).astype(np.float32),
    }
    made = extractor(
        nodes, {"embedding": [batch, 33]}, batch=batch, weights=weights, embedding_size=33, load={"threads": threads}
    )
    alone = made.embed(faces(1)).vectors[0]
    others = faces(17, seed=2).pixels
    for count in (1, 2, 7, 8, 9, 17):
        for place in {0, 1, count // 2, count - 1} & set(range(count)):
            pixels = others[:count].copy()
            pixels[place] = faces(1).pixels[0]
            assert made.embed(Faces(pixels, GEOMETRY)).vectors[place].tobytes() == alone.tobytes()


@pytest.mark.parametrize(("asked", "reported"), [(1, 1), (2, 2), (50_000, 8), (0, 8)])
def test_what_ran_is_reported(extractor, many_cpus, asked, reported):
    made = extractor(blocks(), {"embedding": ["n", SIZE]}, load={"threads": asked})
    ran = made.what_ran
    assert ran["threads"] == reported
    assert ran["providers"] == ["CPUExecutionProvider"]
    assert (ran["name"], ran["device"], ran["precision"], ran["batch"]) == ("test", "cpu", "fp32", 8)
    assert ran["runtime"].startswith("onnxruntime 1.")
    assert ran["digest"] == made.digest == made.spec.digest(ran["weights_sha256"])
    assert ran["sha256_enforced"] is False
    assert OnnxExtractor(replace(made.spec, sha256=ran["weights_sha256"])).what_ran["sha256_enforced"] is True


def test_without_onnxruntime_the_extra_is_named(extractor, monkeypatch):
    spec = extractor(blocks(), {"embedding": ["n", SIZE]}).spec
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingDependency, match=r'onnxruntime.*pip install "facecure\[cpu\]"'):
        OnnxExtractor(spec)

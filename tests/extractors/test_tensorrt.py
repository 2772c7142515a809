"""TensorRT embeds as torch does and keeps its engines; where it is missing, a stand-in over ONNX Runtime is driven.

The stand-in shows what is asked of the API and what becomes of its answers, nothing about TensorRT itself.
"""

from __future__ import annotations

import ctypes
import importlib.util
import json
import sys
from contextlib import nullcontext
from dataclasses import replace
from math import prod
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

torch = pytest.importorskip("torch")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

from facecure.errors import InputError, MissingDependency  # noqa: E402
from facecure.execution import Execution  # noqa: E402
from facecure.extractors.export import export_onnx, read_export  # noqa: E402
from facecure.extractors.graph import Graph  # noqa: E402
from facecure.extractors.packaged import packaged_specs, packaged_surrogate  # noqa: E402
from facecure.extractors.runtimes import open_extractor, tensorrt  # noqa: E402
from facecure.types import Faces  # noqa: E402

pytestmark = pytest.mark.slow

SPECS = {spec.name: spec for spec in map(packaged_surrogate, packaged_specs())}
PLAIN = replace(SPECS["synthetic-plain"], colour="BGR", std=(100.0, 120.0, 140.0))  # no mix-up may stay unseen
BATCH = 4
REAL = [
    pytest.mark.gpu,
    pytest.mark.tensorrt,
    pytest.mark.skipif(importlib.util.find_spec("tensorrt") is None, reason="TensorRT is not installed"),
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device is visible"),
]


class StandIn:
    """The module, version 11: a plan is the profile's shape and the graph. `asked` has what builders were told."""

    __version__ = "11.4.0.106"
    DataType = SimpleNamespace(FLOAT="tensor(float)")
    TensorIOMode = SimpleNamespace(INPUT="input")
    MemoryPoolType = SimpleNamespace(WORKSPACE="workspace")
    BuilderFlag = SimpleNamespace(TF32="tf32")
    Logger = type("Logger", (), {"ERROR": 1, "__init__": lambda self, severity: None})

    def __init__(self):
        self.asked, self.reads, self.builds, self.loads, self.agrees = [], True, True, True, True

    def Builder(self, logger):  # noqa: N802
        def build(network, config):
            self.asked.append("build")
            return memoryview(json.dumps(self.shape).encode() + b"\n" + network.graph) if self.builds else None

        return SimpleNamespace(
            create_network=lambda: SimpleNamespace(get_input=lambda number: SimpleNamespace(name="faces")),
            create_builder_config=self._config,
            create_optimization_profile=lambda: SimpleNamespace(set_shape=self._set_shape),
            build_serialized_network=build,
        )

    def OnnxParser(self, network, logger):  # noqa: N802
        def parse(graph):
            network.graph = graph
            return self.reads

        return SimpleNamespace(parse=parse, num_errors=1, get_error=lambda number: "no such node")

    def Runtime(self, logger):  # noqa: N802
        def load(plan):
            shape, _, graph = bytes(plan).partition(b"\n")
            return Engine(graph, json.loads(shape), self.agrees) if graph and self.loads else None

        return SimpleNamespace(deserialize_cuda_engine=load)

    def _set_shape(self, name, least, best, most):
        assert name == "faces"
        assert least == best == most
        self.shape = best

    def _config(self):
        def set_timing_cache(cache, ignore_mismatch):
            self.asked.append(cache)
            return cache != b"another GPU's"

        note = lambda *what: self.asked.append(what)  # noqa: E731
        return SimpleNamespace(
            set_memory_pool_limit=note,
            clear_flag=note,
            add_optimization_profile=lambda profile: 0,
            create_timing_cache=lambda data: None if data == b"broken" else data,
            set_timing_cache=set_timing_cache,
            get_timing_cache=lambda: SimpleNamespace(serialize=lambda: memoryview(b"timings")),
        )


class Engine:
    """An engine that is its own context: ONNX Runtime over the addresses that it is given."""

    def __init__(self, graph, shape, agrees):
        self._session, self._shape, self._agrees = onnxruntime.InferenceSession(graph), shape, agrees
        (given,), results = self._session.get_inputs(), self._session.get_outputs()
        self._kinds = {port.name: port.type for port in (given, *results)}
        self._shapes = {given.name: tuple(shape), **{port.name: (shape[0], *port.shape[1:]) for port in results}}
        self._given, self._results, self._places = given.name, [port.name for port in results], {}
        self.num_io_tensors = len(self._kinds)
        self.get_tensor_name = list(self._kinds).__getitem__
        self.get_tensor_dtype = self._kinds.__getitem__
        self.get_tensor_mode = lambda name: "input" if name == self._given else "output"
        self.get_tensor_shape = self._shapes.__getitem__
        self.set_input_shape = lambda name, shape: shape == self._shapes[name]
        self.create_execution_context = lambda: Engine(graph, shape, agrees)

    def set_tensor_address(self, name, address):
        values = ctypes.cast(address, ctypes.POINTER(ctypes.c_float))
        self._places[name] = np.ctypeslib.as_array(values, (prod(self._shapes[name]),)).reshape(self._shapes[name])
        return True

    def execute_async_v3(self, stream):
        found = self._session.run(self._results, {self._given: self._places[self._given]})
        for name, rows in zip(self._results, found, strict=True):
            self._places[name][:] = rows
        return self._agrees and stream == "torch's stream"


class HostPass:
    """What `CudaPass` is, without a device; rows stay until the next start."""

    def __init__(self, compute, shape, device):
        self.block = np.zeros(shape, np.float32)
        self.start = lambda: compute(torch.from_numpy(self.block)).numpy
        self.start()


@pytest.fixture(scope="module")
def exports(tmp_path_factory):
    """Return a folder of exports of the packaged networks."""
    folder = tmp_path_factory.mktemp("exports")
    for name, spec in SPECS.items():
        for precision in ("fp32", "fp16"):
            export_onnx(spec, folder / f"{name}-{precision}.onnx", precision=precision)
    return folder


@pytest.fixture
def exported(exports, tmp_path):
    """Return a function that returns the export of a packaged network, alone in a folder."""

    def copied(spec, precision="fp32"):
        file = tmp_path / precision / "model.onnx"
        file.parent.mkdir(exist_ok=True)
        file.write_bytes((exports / f"{spec.name}-{precision}.onnx").read_bytes())
        return read_export(file)

    return copied


@pytest.fixture
def stand_in(monkeypatch, exports):  # exported before: torch's exporter looks for the packages that are there
    module = StandIn()
    monkeypatch.setitem(sys.modules, "tensorrt", module)
    monkeypatch.setattr(tensorrt, "CudaPass", HostPass)
    monkeypatch.setattr(tensorrt, "torch_device", lambda name: torch.device("cpu"))
    monkeypatch.setattr(torch.cuda, "device", nullcontext)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "a GPU")
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: SimpleNamespace(cuda_stream="torch's stream"))
    return module


@pytest.fixture(params=["stand-in", pytest.param("TensorRT", marks=REAL)])
def either(request):
    """Either of the two, for what has to hold of both."""
    if request.param == "stand-in":
        request.getfixturevalue("stand_in")


def opened(spec, graph, precision="fp32", batch=BATCH):
    return open_extractor(spec, Execution("tensorrt", precision, device="cuda", batch=batch), graph=graph)


def faces(spec, count):
    shape = (count, spec.geometry.height, spec.geometry.width, 3)
    return Faces(np.random.default_rng(0).integers(0, 256, shape, np.uint8), spec.geometry)


def assert_as_torch(made, spec, cosine):
    expected = open_extractor(spec).embed(faces(spec, 2 * BATCH + 1)).vectors.astype(np.float64)
    found = made.embed(faces(spec, 2 * BATCH + 1)).vectors
    assert (np.square(found - expected).sum(1) / 2).max() <= cosine  # 1 - cosine, of unit vectors


def engines(graph):
    return sorted(graph.file.parent.glob("*.engine"))


@pytest.mark.parametrize(("precision", "cosine"), [("fp32", 1e-6), ("fp16", 1e-3)])
@pytest.mark.parametrize("name", SPECS)
def test_embeds_as_torch(either, exported, name, precision, cosine):
    made = opened(SPECS[name], exported(SPECS[name], precision), precision)
    assert_as_torch(made, SPECS[name], cosine)
    assert made.what_ran["precision"] == precision


@pytest.mark.parametrize("name", [pytest.param(name, marks=REAL) for name in SPECS])
def test_embeds_as_torch_in_bfloat16(name, tmp_path):  # for which ONNX Runtime has no kernels on a CPU
    export_onnx(SPECS[name], tmp_path / "model.onnx", precision="bf16")
    assert_as_torch(opened(SPECS[name], read_export(tmp_path / "model.onnx"), "bf16"), SPECS[name], 1e-3)


def test_any_number_of_faces_and_the_same_bits_whoever_stands_beside_one(either, exported):
    made = opened(PLAIN, exported(PLAIN))
    whole = made.embed(faces(PLAIN, 4 * BATCH)).vectors
    before = whole.copy()
    for count in (0, 1, BATCH - 1, BATCH, BATCH + 1):
        found = made.embed(Faces(faces(PLAIN, 4 * BATCH).pixels[:count], PLAIN.geometry)).vectors
        np.testing.assert_array_equal(found, whole[:count])
    alone = made.embed(Faces(faces(PLAIN, 4 * BATCH).pixels[-1:], PLAIN.geometry)).vectors
    np.testing.assert_array_equal(alone[0], whole[-1])
    np.testing.assert_array_equal(whole, before)  # no later pass wrote over it


def test_a_second_opening_takes_the_kept_engine(either, exported):
    graph = exported(PLAIN)
    first = opened(PLAIN, graph).embed(faces(PLAIN, 3)).vectors
    (kept,) = engines(graph)
    written = kept.stat().st_mtime_ns
    np.testing.assert_array_equal(opened(PLAIN, graph).embed(faces(PLAIN, 3)).vectors, first)
    assert [(file, file.stat().st_mtime_ns) for file in engines(graph)] == [(kept, written)]


def test_a_kept_engine_that_does_not_load_is_built_again(either, exported):
    graph = exported(PLAIN)
    opened(PLAIN, graph)
    (kept,) = engines(graph)
    kept.write_bytes(b"no engine")
    assert_as_torch(opened(PLAIN, graph), PLAIN, 1e-6)
    assert engines(graph) == [kept]
    assert kept.read_bytes() != b"no engine"


def test_a_graphs_own_batch_is_taken(either, exported):
    graph = exported(PLAIN)
    model = onnx.load_from_string(graph.data)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 3
    made = opened(PLAIN, replace(graph, data=model.SerializeToString()))
    assert made.batch == made.what_ran["batch"] == 3
    assert_as_torch(made, PLAIN, 1e-6)


@pytest.mark.parametrize("batch", [None, 2])
def test_the_batch_is_the_one_asked_for_or_the_gpus(either, exported, batch):
    assert opened(PLAIN, exported(PLAIN), batch=batch).batch == (batch or 256)


def test_weights_of_another_precision_are_refused(either, exported):
    with pytest.raises(InputError, match="asked for bf16, the weights of its graph are fp32"):
        opened(PLAIN, exported(PLAIN), "bf16")
    with pytest.raises(InputError, match="asked for fp32, the weights of its graph are fp16"):
        opened(PLAIN, exported(PLAIN, "fp16"))


def test_in_and_out_it_is_float32(either, exported):
    value = lambda name, shape: helper.make_tensor_value_info(name, TensorProto.FLOAT16, shape)  # noqa: E731
    nodes = [
        helper.make_node("AveragePool", ["faces"], ["blocks"], kernel_shape=[16, 16], strides=[16, 16]),
        helper.make_node("Flatten", ["blocks"], ["embedding"], axis=1),
    ]
    size = ["n", 3, PLAIN.geometry.height, PLAIN.geometry.width]
    graph = helper.make_graph(nodes, "half", [value("faces", size)], [value("embedding", ["n", 48])])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    spec = replace(PLAIN, embedding_size=48)
    with pytest.raises(InputError, match=r"extractor synthetic-plain: faces of the graph is .*it must be float32"):
        opened(spec, Graph(model.SerializeToString(), "0" * 64))


def test_what_ran_names_device_and_version(stand_in, exported):
    ran = opened(PLAIN, exported(PLAIN)).what_ran
    assert (ran["runtime"], ran["device"]) == ("tensorrt 11.4.0.106", "a GPU")


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_what_a_builder_is_told(stand_in, exported, precision):
    opened(PLAIN, exported(PLAIN, precision), precision)
    assert stand_in.shape == (BATCH, 3, 64, 64)
    assert (("tf32",) in stand_in.asked) == (precision == "fp32")
    assert ("workspace", 4 << 30) in stand_in.asked


def test_other_targets_have_other_engines(stand_in, exported, monkeypatch):
    graph = exported(PLAIN)
    opened(PLAIN, graph)
    opened(PLAIN, graph, batch=2 * BATCH)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "another GPU")
    opened(PLAIN, graph)
    stand_in.__version__ = "11.5.0"
    opened(PLAIN, graph)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (10, 0))
    opened(PLAIN, graph)
    assert len(engines(graph)) == stand_in.asked.count("build") == 5
    assert {file.name for file in graph.file.parent.glob("*.timing")} == {
        "sm90-11.4.0.106.timing", "sm90-11.5.0.timing", "sm100-11.5.0.timing",
    }  # fmt: skip


@pytest.mark.parametrize("known", [b"timings", b"broken", b"another GPU's"])
def test_timings_are_kept_and_refused_ones_begin_anew(stand_in, exported, known):
    graph = exported(PLAIN)
    file = graph.file.with_name("sm90-11.4.0.106.timing")
    file.write_bytes(known)
    opened(PLAIN, graph)
    caches = [asked for asked in stand_in.asked if isinstance(asked, bytes)]
    assert caches[-1] == (known if known == b"timings" else b"")
    assert file.read_bytes() == b"timings"


def test_without_a_file_nothing_is_kept(stand_in, exported):
    graph = exported(PLAIN)
    assert_as_torch(opened(PLAIN, replace(graph, file=None)), PLAIN, 1e-6)
    assert list(graph.file.parent.iterdir()) == [graph.file]


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("reads", "cannot read the graph: no such node"),
        ("builds", "built no engine"),
        ("loads", "cannot load the engine that it built"),
        ("agrees", "refuses the pass"),
    ],
)
def test_what_tensorrt_refuses_is_an_error_and_not_kept(stand_in, exported, fault, says):
    graph = exported(PLAIN)
    setattr(stand_in, fault, False)
    with pytest.raises(InputError, match=f"extractor synthetic-plain: TensorRT {says}"):
        opened(PLAIN, graph)
    assert engines(graph) == [] or fault == "agrees"  # the engine is none the worse for a pass that failed


def test_what_is_missing_is_named_with_its_extra(stand_in, exported, monkeypatch):
    graph = exported(PLAIN)
    stand_in.__version__ = "10.16.1"
    with pytest.raises(MissingDependency, match=r'tensorrt 11 is not.*pip install "facecure\[tensorrt\]"'):
        opened(PLAIN, graph)
    for package, extra in (("tensorrt", "tensorrt"), ("torch", "gpu")):
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(MissingDependency, match=rf'{package} is not.*pip install "facecure\[{extra}\]"'):
            opened(PLAIN, graph)

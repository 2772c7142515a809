"""A network whose answer for one face depends on the others, or is none per face, is refused when it is opened."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from facecure.errors import InputError
from facecure.execution import Execution
from facecure.extractors.runtimes import alone, open_extractor
from facecure.extractors.spec import ExtractorSpec
from facecure.types import FaceGeometry, Faces

from ..conftest import save_onnx

SIDE, SIZE = 4, 48


@pytest.fixture(autouse=True)
def _nothing_checked(monkeypatch):
    monkeypatch.setattr(alone, "_CHECKED", set())


@pytest.fixture
def opened(tmp_path):
    """Return a function that opens a graph of the nodes between `flat`, a row per face, and `embedding`."""

    def make(*nodes, weights=None, batch: int | str = "n", output=("n", SIZE), **options):
        start = helper.make_node("Flatten", ["faces"], ["flat"], axis=1)
        file = save_onnx(
            tmp_path / "net.onnx", [start, *nodes], [("faces", [batch, 3, SIDE, SIDE])], [("embedding", list(output))],
            weights,
        )  # fmt: skip
        spec = ExtractorSpec(
            "net", Path(file), None, FaceGeometry(SIDE, SIDE), "RGB", "NCHW", (127.5,) * 3, (128.0,) * 3, SIZE, True
        )
        return open_extractor(spec, Execution(**options))

    return make


def node(kind: str, *inputs: str, out: str = "embedding", **attributes):
    return helper.make_node(kind, list(inputs), [out], **attributes)


ALONE = {
    "a row each": ([node("Identity", "flat")], {}),
    "batch norm of fixed statistics": (
        [node("BatchNormalization", "flat", "one", "zero", "zero", "one")],
        {"one": np.ones(SIZE, np.float32), "zero": np.zeros(SIZE, np.float32)},
    ),
    "norm over the face": ([node("LayerNormalization", "flat", "one")], {"one": np.ones(SIZE, np.float32)}),
    "nothing, for noise": ([node("Mul", "flat", "zero")], {"zero": np.zeros(1, np.float32)}),
    "no number, for noise": ([node("Log", "flat")], {}),
}


@pytest.mark.parametrize("kind", ALONE)
@pytest.mark.parametrize("batch", [1, 8])
def test_a_network_that_looks_at_one_face_is_opened(opened, kind, batch):
    nodes, weights = ALONE[kind]
    assert opened(*nodes, weights=weights, batch=batch if batch == 1 else "n").batch == batch


MEAN = [node("ReduceMean", "flat", out="mean", axes=[0], keepdims=1), node("Sub", "flat", "mean")]
CROWD = {
    "mean of the batch": (MEAN, {}, "so it is not that of the face"),
    "scaled by the largest of the batch": (
        [node("ReduceMax", "flat", out="most", keepdims=1), node("Div", "flat", "most")], {},
        "changes by .* with the faces beside it in a batch of 8",
    ),
    "transposed": (
        [node("Transpose", "flat", perm=[1, 0])], {}, r"for 8 faces .* an array \(48, 8\), not a row for each"
    ),
    "one row for all": (
        [node("Reshape", "flat", "shape")], {"shape": np.array([1, -1], np.int64)}, r"an array \(1, 384\), not a row"
    ),
    "batch fixed inside": (
        [node("Reshape", "flat", "shape")], {"shape": np.array([1, SIZE], np.int64)},
        "cannot run net.onnx on 8 faces at once: .*fixed inside",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", CROWD)
@pytest.mark.filterwarnings("ignore")
def test_what_is_not_the_embedding_of_a_face_is_refused(opened, kind):
    nodes, weights, says = CROWD[kind]
    with pytest.raises(InputError, match=rf"(?s)^extractor net: .*{says}"):
        opened(*nodes, weights=weights, output=(None, None))


def test_a_batch_that_is_fixed_inside_and_outside_runs(opened):
    reshape, weights = [node("Reshape", "flat", "shape")], {"shape": np.array([1, SIZE], np.int64)}
    extractor = opened(*reshape, weights=weights, batch=1, output=(1, SIZE))
    faces = Faces(np.random.default_rng(0).integers(0, 256, (3, SIDE, SIDE, 3), np.uint8), extractor.spec.geometry)
    assert extractor.embed(faces).vectors.shape == (3, SIZE)


def test_one_network_is_checked_once_in_a_process(opened, monkeypatch):
    passes = []
    returned = alone.FixedBatchExtractor.returned
    monkeypatch.setattr(
        alone.FixedBatchExtractor,
        "returned",
        lambda self, faces: passes.append(len(faces.pixels)) or returned(self, faces),
    )
    for _ in range(3):
        opened(node("Identity", "flat"))
    assert passes == [1, 8]


def test_a_torch_network_in_training_mode_would_be_refused():
    torch = pytest.importorskip("torch")
    from facecure.extractors.packaged import packaged_specs, packaged_surrogate
    from facecure.extractors.runtimes.torch import TorchExtractor

    extractor = TorchExtractor(packaged_surrogate(packaged_specs()[0]), Execution(threads=1))
    alone.check_alone(extractor)
    alone._CHECKED.clear()
    network = extractor._network
    extractor._network = lambda faces: network(faces) - network(faces).mean(0)
    with torch.inference_mode(), pytest.raises(InputError, match="so it is not that of the face"):
        alone.check_alone(extractor)

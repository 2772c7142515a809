"""MTCNN finds what facenet-pytorch's own code finds, and says which file is not its own.

`mtcnn_official.json` is what facenet-pytorch 2.6.0, `detect_face` with its defaults, returns for pictures of the shared
assets (min face 20, thresholds 0.6, 0.7, 0.7, factor 0.709).
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from facecure.errors import InputError  # noqa: E402
from facecure.pictures.decode import decode  # noqa: E402
from facecure.pictures.detect import main_first  # noqa: E402
from facecure.pictures.mtcnn import Mtcnn, _square, _suppress  # noqa: E402
from facecure.pictures.mtcnn_networks import Stage  # noqa: E402
from facecure.pictures.yunet import YuNet  # noqa: E402

OFFICIAL = json.loads((Path(__file__).parent / "mtcnn_official.json").read_text())


@pytest.fixture(scope="module")
def files(assets):
    return [assets / "models" / f"mtcnn_{name}net.pt" for name in "pro"]


@pytest.fixture(scope="module")
def detector(files):
    return Mtcnn(*files)


@pytest.mark.shared
@pytest.mark.parametrize("picture", OFFICIAL, ids=lambda name: Path(name).name)
def test_faces_are_those_of_the_official_code(detector, assets, picture):
    found = detector.faces(decode((assets / picture).read_bytes()))
    expected = OFFICIAL[picture]
    assert len(found) == len(expected) > 0
    boxes = np.array([face["box"] for face in expected])
    for face in found:
        row = int(np.abs(boxes - face.box).max(1).argmin())
        np.testing.assert_allclose(face.box, boxes[row], rtol=0, atol=2e-3)
        np.testing.assert_allclose(face.landmarks, expected[row]["landmarks"], rtol=0, atol=2e-3)
        assert face.box.dtype == face.landmarks.dtype == np.float64


@pytest.mark.shared
def test_its_landmarks_are_where_yunets_are(detector, assets):
    yunet = YuNet(assets / "models" / "yunet_n_dynamic.onnx")
    for picture in [name for name in OFFICIAL if name.startswith("lfw")][:3]:
        pixels = decode((assets / picture).read_bytes())
        a, b = detector.landmarks(pixels), yunet.landmarks(pixels)
        assert np.linalg.norm(a - b, axis=1).mean() < 0.1 * np.linalg.norm(b[0] - b[1])


@pytest.mark.shared
def test_where_there_is_no_face_none_is_found(detector):
    grey = np.full((120, 90, 3), 128, np.uint8)
    assert detector.faces(grey) == []
    assert detector.landmarks(grey) is None
    for size in ((1, 1), (19, 300), (300, 19), (20, 20)):
        assert detector.faces(np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)) == []


@pytest.mark.shared
def test_a_file_of_another_stage_is_named(files, detector, tmp_path):
    with pytest.raises(InputError, match=r"mtcnn_rnet\.pt is not that file of MTCNN"):
        Mtcnn(files[1], files[1], files[2])
    with pytest.raises(InputError, match="no such file"):
        Mtcnn(files[0], files[1], tmp_path / "nowhere.pt")
    (tmp_path / "bad.pt").write_bytes(b"hello")
    with pytest.raises(InputError, match=r"bad\.pt is not that file"):
        Mtcnn(files[0], files[1], tmp_path / "bad.pt")
    assert Mtcnn(*files).digest == detector.digest


NAMES = {  # of facenet-pytorch's files, as shapes of weights; every convolution and dense layer has a bias too
    0: {"conv1": (10, 3, 3, 3), "prelu1": (10,), "conv2": (16, 10, 3, 3), "prelu2": (16,), "conv3": (32, 16, 3, 3),
        "prelu3": (32,), "conv4_1": (2, 32, 1, 1), "conv4_2": (4, 32, 1, 1)},
    1: {"conv1": (28, 3, 3, 3), "prelu1": (28,), "conv2": (48, 28, 3, 3), "prelu2": (48,), "conv3": (64, 48, 2, 2),
        "prelu3": (64,), "dense4": (128, 576), "prelu4": (128,), "dense5_1": (2, 128), "dense5_2": (4, 128)},
    2: {"conv1": (32, 3, 3, 3), "prelu1": (32,), "conv2": (64, 32, 3, 3), "prelu2": (64,), "conv3": (64, 64, 3, 3),
        "prelu3": (64,), "conv4": (128, 64, 2, 2), "prelu4": (128,), "dense5": (256, 1152), "prelu5": (256,),
        "dense6_1": (2, 256), "dense6_2": (4, 256), "dense6_3": (10, 256)},
}  # fmt: skip


@pytest.mark.parametrize("stage", NAMES)
def test_networks_have_the_official_names(stage):
    expected = {}
    for layer, shape in NAMES[stage].items():
        expected[f"{layer}.weight"] = shape
        if not layer.startswith("prelu"):
            expected[f"{layer}.bias"] = shape[:1]
    assert {name: tuple(value.shape) for name, value in Stage(stage).state_dict().items()} == expected
    sizes = {0: (25, 30), 1: (24, 24), 2: (48, 48)}
    outputs = Stage(stage)(torch.zeros(2, 3, *sizes[stage]))
    assert [tuple(out.shape[1:2]) for out in outputs] == [(4,), *[(10,)] * (stage == 2), (2,)]
    torch.testing.assert_close(outputs[-1].sum(1), torch.ones_like(outputs[-1].sum(1)))


def box(*values) -> list[float]:
    return [float(value) for value in values]


def test_suppression_keeps_the_surest_and_what_is_apart():
    boxes = np.array([box(0, 0, 10, 10, 0.8), box(1, 1, 11, 11, 0.9), box(20, 20, 30, 30, 0.1)], np.float32)
    assert _suppress(boxes, 0.5).tolist() == [1, 2]  # 81 of 119 in common
    assert _suppress(boxes, 0.7).tolist() == [1, 0, 2]
    assert _suppress(boxes[:0], 0.5).tolist() == []
    inner = np.array([box(0, 0, 100, 100, 0.9), box(10, 10, 20, 20, 0.8)], np.float32)
    assert _suppress(inner, 0.5).tolist() == [0, 1]
    assert _suppress(inner, 0.5, last=True).tolist() == [0]
    same = np.array([box(0, 0, 10, 10, 1)] * 3, np.float32)
    assert _suppress(same, 0.5).tolist() == [0]
    assert _suppress(same, 0.5, last=True).tolist() == [2]


def test_squares_keep_their_middle():
    boxes = np.array([box(0, 0, 10, 20, 0.5), box(5, 5, 9, 7, 0.25)], np.float32)
    np.testing.assert_array_equal(_square(boxes), [box(-5, 0, 15, 20, 0.5), box(5, 4, 9, 8, 0.25)])
    assert _square(boxes[:0]).shape == (0, 5)


def test_the_main_face_is_large_and_central():
    boxes = np.array([[0, 0, 10, 10], [40, 40, 60, 60], [80, 80, 100, 100]], np.float64)
    assert main_first(boxes, np.array([0.9, 0.5, 0.7]), (100, 100)).tolist() == [1, 0, 2]
    assert main_first(boxes[:0], np.empty(0), (100, 100)).tolist() == []

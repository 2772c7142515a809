"""The main face is found where it is, at any size and by any thread."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from PIL import Image

from facecure.errors import InputError
from facecure.pictures.yunet import YuNet

shared = pytest.mark.shared
FAILURE = 0.1  # of the eyes' distance: the mean point error at which a face counts as wrongly aligned


@pytest.fixture(scope="module")
def network(assets):
    return next(assets.glob("models/yunet*.onnx"))


@pytest.fixture(scope="module")
def detector(network):
    return YuNet(network)


@pytest.fixture(scope="module")
def photos(assets):
    """Eight LFW photos of different people; the person is in the middle of each."""
    people = sorted((assets / "lfw_multi").iterdir())[::12][:8]
    return [np.asarray(Image.open(min(person.glob("*.jpg"))).convert("RGB")) for person in people]


@pytest.fixture(scope="module")
def found(detector, photos):
    return [detector.landmarks(photo) for photo in photos]


def error(points, expected) -> float:
    """Return the mean distance of the points as a share of the eyes' distance."""
    return np.linalg.norm(points - expected, axis=1).mean() / np.linalg.norm(expected[1] - expected[0])


@shared
def test_the_person_is_found_in_the_usual_order(photos, found):
    assert len(photos) == 8
    for photo, points in zip(photos, found, strict=True):
        assert points.dtype == np.float64
        assert points.shape == (5, 2)
        (left_eye, right_eye, nose, left_mouth, right_mouth), (height, width) = points, photo.shape[:2]
        assert left_eye[0] < right_eye[0]
        assert left_mouth[0] < right_mouth[0]
        assert max(left_eye[1], right_eye[1]) < nose[1] < min(left_mouth[1], right_mouth[1])
        assert np.abs(points.mean(0) - (width / 2, height / 2)).max() < 0.15 * width


@shared
def test_a_channel_order_of_bgr_is_not_what_the_network_sees(network, photos, found):
    """RGB comes in; the network is asked with the BGR picture that OpenCV documents."""
    reference = cv2.FaceDetectorYN.create(str(network), "", (250, 250), 0.5)
    for photo, points in zip(photos, found, strict=True):
        faces = reference.detect(np.ascontiguousarray(photo[..., ::-1]))[1]
        assert min(np.abs(face[4:14].reshape(5, 2) - points).max() for face in faces) < 1e-3


@shared
@pytest.mark.parametrize(("right", "down"), [(32, 64), (96, 0), (0, 32)])
def test_padding_moves_the_landmarks_along(right, down, detector, photos, found):
    for photo, points in zip(photos, found, strict=True):
        moved = detector.landmarks(np.pad(photo, ((down, down), (right, right), (0, 0))))
        assert error(moved - (right, down), points) < FAILURE


@shared
@pytest.mark.parametrize("side", [1000, 1280, 1281, 3000])
def test_landmarks_of_a_close_up_grow_with_the_photo(side, detector, photos, found):
    factor = side / 250
    for photo, points in zip(photos[:4], found, strict=False):
        large = detector.landmarks(cv2.resize(photo, (side, side), interpolation=cv2.INTER_CUBIC))
        assert error((large + 0.5) / factor - 0.5, points) < FAILURE


@shared
def test_a_large_group_photo_gives_landmarks_in_its_own_pixels(detector, photos, found):
    photo = np.zeros((2100, 3000, 3), np.uint8)
    photo[800:1300, 1200:1700] = cv2.resize(photos[0], (500, 500), interpolation=cv2.INTER_CUBIC)
    points = detector.landmarks(photo)
    assert error((points - (1200, 800) + 0.5) / 2 - 0.5, found[0]) < FAILURE


@shared
def test_tight_crops_are_tried_again_with_padding(network, detector, photos, found):
    reference = cv2.FaceDetectorYN.create(str(network), "", (320, 320), 0.5)
    retried = 0
    for photo, points in zip(photos, found, strict=True):
        (x0, y0), (x1, y1) = points.min(0).astype(int) - 2, points.max(0).astype(int) + 3
        crop = cv2.resize(photo[y0:y1, x0:x1], None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
        reference.setInputSize(crop.shape[1::-1])
        if reference.detect(np.ascontiguousarray(crop[..., ::-1]))[1] is not None:
            continue
        again = detector.landmarks(crop)
        if again is not None:
            retried += 1
            assert error((again + 0.5) / 4 - 0.5 + (x0, y0), points) < 2 * FAILURE  # half the face is missing
    assert retried


@shared
@pytest.mark.parametrize("main", [0, 1])
def test_of_two_faces_the_larger_counts(main, detector, photos, found):
    small = cv2.resize(photos[2], (125, 125), interpolation=cv2.INTER_AREA)
    scene = np.full((250, 500, 3), 127, np.uint8)
    left = 0 if main == 0 else 250
    scene[:, left : left + 250] = photos[1]
    scene[60:185, 310 - 250 * main : 435 - 250 * main] = small
    assert error(detector.landmarks(scene) - (left, 0), found[1]) < FAILURE


@shared
@pytest.mark.parametrize("main", [0, 1, 2])
def test_of_equal_faces_the_central_one_counts(main, detector, photos, found):
    """Three copies in a row, cut off so that copy `main` is in the middle."""
    row = np.concatenate([photos[1]] * 3, axis=1)
    scene = np.ascontiguousarray(row[:, 0:500] if main == 0 else row[:, 250:750] if main == 2 else row)
    scene = np.pad(scene, ((0, 0), (256 * (main == 0), 256 * (main == 2)), (0, 0)))
    middle = {0: 256, 1: 250, 2: 250}[main]
    assert error(detector.landmarks(scene) - (middle, 0), found[1]) < FAILURE


@shared
@pytest.mark.parametrize(
    "shape", [(250, 250), (64, 640), (1, 1), (1, 40), (40, 1), (1, 3000), (3000, 1), (2, 2000)], ids=str
)
def test_no_face_is_none_whatever_the_shape(shape, detector):
    assert detector.landmarks(np.full((*shape, 3), 127, np.uint8)) is None


@shared
def test_noise_has_no_face(detector):
    assert detector.landmarks(np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8)) is None


@shared
def test_any_thread_finds_the_same(detector, photos, found):
    with ThreadPoolExecutor(4) as pool:
        for _ in range(2):
            for points, expected in zip(pool.map(detector.landmarks, photos), found, strict=True):
                np.testing.assert_array_equal(points, expected)


@shared
def test_pictures_may_be_views(detector, photos, found):
    wide = np.zeros((250, 500, 4), np.uint8)
    wide[:, ::2, :3] = photos[0]
    np.testing.assert_array_equal(detector.landmarks(wide[:, ::2, :3]), found[0])


@shared
def test_the_digest_names_the_weights(network, detector):
    assert YuNet(network).digest == detector.digest
    assert len(detector.digest) == 64


@shared
def test_opencvs_log_level_is_left_alone(network):
    before = cv2.utils.logging.getLogLevel()
    YuNet(network)
    assert cv2.utils.logging.getLogLevel() == before


def test_a_missing_file_is_an_error_naming_it(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.onnx: no such file"):
        YuNet(tmp_path / "nowhere.onnx")
    with pytest.raises(InputError, match="Is a directory"):
        YuNet(tmp_path)


@pytest.mark.parametrize("content", [b"", b"hello", bytes(1000), b"\x89PNG\r\n\x1a\n"], ids=repr)
def test_a_file_that_is_no_network_is_an_error_naming_it(content, tmp_path):
    (tmp_path / "net.onnx").write_bytes(content)
    with pytest.raises(InputError, match=r"net\.onnx is not a YuNet"):
        YuNet(tmp_path / "net.onnx")


def test_another_network_is_an_error_before_the_first_picture(make_spec):
    """Found with a picture, it would be blamed on that or end the run with OpenCV's own error."""
    with pytest.raises(InputError, match=r"blocks\.onnx is not a YuNet"):
        YuNet(make_spec().parent / "blocks.onnx")


@shared
def test_all_faces_are_found_the_main_one_first(detector, photos):
    small = cv2.resize(photos[1], (150, 150), interpolation=cv2.INTER_AREA)
    scene = np.zeros((400, 900, 3), np.uint8)
    scene[:150, :150] = small
    scene[75:325, 350:600] = photos[0]
    found = detector.faces(scene)
    assert len(found) >= 2
    main, other = found[0].box, found[1].box
    assert 350 <= main[0] < main[2] <= 600
    assert (main[2] - main[0]) * (main[3] - main[1]) > (other[2] - other[0]) * (other[3] - other[1])
    assert any(face.box[2] < 160 and face.box[3] < 160 for face in found)
    np.testing.assert_array_equal(detector.landmarks(scene), found[0].landmarks)
    for face in found[:2]:
        assert (face.landmarks >= face.box[:2]).all()
        assert (face.landmarks <= face.box[2:]).all()

"""Synthetic people are reproducible, differ from each other, and have their landmarks where the drawing has them."""

from __future__ import annotations

import numpy as np
import pytest

from facecure.pictures.synthetic import make_person, render


@pytest.mark.parametrize("size", [16, 64, 112, 113, 250, 600])
def test_a_portrait_is_rgb_of_the_size_asked_for(size):
    portrait = render(make_person(3), 0, size)
    assert portrait.pixels.shape == (size, size, 3)
    assert portrait.pixels.dtype == np.uint8
    assert portrait.landmarks.shape == (5, 2)
    assert portrait.pixels.std() > 10


def test_equal_numbers_give_equal_pictures_and_others_other_ones():
    one = render(make_person(1), 2).pixels
    np.testing.assert_array_equal(one, render(make_person(1), 2).pixels)
    for other in (render(make_person(2), 2), render(make_person(1), 3), render(make_person(1, seed=1), 2)):
        assert (other.pixels != one).mean() > 0.5
    assert make_person(1).traits == make_person(1).traits != make_person(1, seed=1).traits


def test_landmarks_are_ordered_as_the_detectors():
    for number in range(20):
        left_eye, right_eye, nose, left_mouth, right_mouth = render(make_person(number), number).landmarks
        roll = np.arctan2(*(right_eye - left_eye)[::-1])
        assert abs(roll) < 0.25
        across, down = np.array([np.cos(roll), np.sin(roll)]), np.array([-np.sin(roll), np.cos(roll)])
        assert (right_eye - left_eye) @ across > 0 < (right_mouth - left_mouth) @ across
        assert max(left_eye @ down, right_eye @ down) < nose @ down < min(left_mouth @ down, right_mouth @ down)


def test_landmarks_lie_where_the_eyes_are_drawn():
    """A pupil is black and an eye's corner white: around both eyes the picture holds both."""
    found = 0
    for number in range(20):
        portrait = render(make_person(number), 0, 250)
        grey = portrait.pixels.mean(axis=2)
        for x, y in portrait.landmarks[:2].round().astype(int):
            patch = grey[y - 12 : y + 13, x - 16 : x + 17]
            assert patch.size
            found += patch[12, 16] < np.median(patch) < patch.max()
    assert found >= 36


def test_scale_moves_landmarks_with_the_picture():
    small, large = (render(make_person(5), 1, size).landmarks for size in (100, 200))
    np.testing.assert_allclose(large, 2 * small, atol=1e-9)


def test_people_differ_in_every_trait_and_fill_its_range():
    traits = np.array([list(make_person(number).traits.values()) for number in range(300)])
    spread = (traits - traits.min(axis=0)) / np.ptp(traits, axis=0)
    assert (np.abs(spread.mean(axis=0) - 0.5) < 0.1).all()
    assert len(np.unique(traits[:, 0])) == 300


@pytest.mark.shared
def test_a_real_detector_takes_them_for_faces(assets):
    """They read as faces: YuNet, which has never seen one, finds most, with its points near the drawn ones."""
    from facecure.pictures.yunet import YuNet

    detector = YuNet(next((assets / "models").glob("yunet*.onnx")))
    errors = []
    for number in range(40):
        portrait = render(make_person(number), 0, 250)
        landmarks = detector.landmarks(portrait.pixels)
        if landmarks is not None:
            eyes = np.linalg.norm(portrait.landmarks[1] - portrait.landmarks[0])
            errors.append(np.abs(landmarks - portrait.landmarks).mean() / eyes)
    assert len(errors) >= 36
    assert np.median(errors) < 0.2

"""The native Fawkes step is the twin's, with the same bits for every instruction set, thread count and neighbour."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from facecure.kernels import DssimSource, FawkesMove, FawkesPlanes, View, fawkes_step, fawkes_step_numpy

from .conftest import BITS, made, window

NAMES = ["modifier", "squares", "steps", "by_dssim", "pictures", "best", "shown"]
VIEW = View([120.0, 110.0, 100.0], [50.0, 60.0, 70.0], [2, 0, 1])
SHAPES = [(1, 11, 11), (1, 11, 40), (7, 23, 12), (2, 64, 17)]
EPSILON = 1e-7
BOUNDS = [15.0, np.inf]


def started(count: int, height: int, width: int, kind: str = "noise", strength: float = 0.05):
    """Return planes under way, their source and a move."""
    source, _ = made(3 * count, height, width, kind)
    rng = np.random.default_rng([count, height, width, 1])
    shape = source.centred.shape
    draw = lambda scale: rng.normal(0, scale, shape).astype(np.float32)  # noqa: E731
    planes = FawkesPlanes(
        draw(strength), np.square(draw(1e-3)), np.square(draw(1e-4)), draw(1), np.zeros(shape, np.float32), draw(9),
        np.zeros(shape, np.float32), VIEW,
    )  # fmt: skip
    move = FawkesMove(
        by_feature=draw(1e-3),
        dssim_weight=rng.uniform(0, 1e4, count).astype(np.float32),
        feature_weight=rng.uniform(-4, 0, count).astype(np.float32),
        better=rng.random(count) < 0.5,
        rate=15.0,
    )
    return planes, source, move


def copied(planes: FawkesPlanes, dtype: type = np.float32) -> FawkesPlanes:
    return FawkesPlanes(*(np.array(getattr(planes, name), dtype) for name in NAMES), planes.view)


def agree(found: FawkesPlanes, expected: FawkesPlanes, rtol: float) -> None:
    for name in NAMES:
        ours, theirs = getattr(found, name), getattr(expected, name)
        assert np.linalg.norm(ours - theirs) <= rtol * np.linalg.norm(theirs), name


@pytest.mark.parametrize("simd", BITS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("kind", ["noise", "black", "white"])
@pytest.mark.parametrize("strength", [1e-4, 0.05, 3.0, 40.0])
@pytest.mark.parametrize("bound", BOUNDS)
def test_a_step_is_the_twins(shape, kind, strength, bound, simd):
    planes, source, move = started(*shape, kind, strength)
    twin = copied(planes, np.float64)
    value = fawkes_step(planes, source, None, bound, EPSILON, simd=simd)
    expected = fawkes_step_numpy(twin, source, None, bound, EPSILON)
    np.testing.assert_allclose(value, expected, rtol=1e-3, atol=1e-10)
    # some twenty roundings of a change, and one of up to 255 levels
    rounding = 3e-6 * (np.abs(twin.pictures - source.centred - 128) + 10)
    assert (np.abs(planes.pictures - twin.pictures) <= rounding).all()
    for name in ("pictures", "by_dssim", "shown"):  # the twin's own rounding aside, both move on from the same place
        getattr(twin, name)[:] = getattr(planes, name)
    value = fawkes_step(planes, source, move, bound, EPSILON, simd=simd)
    expected = fawkes_step_numpy(twin, source, move, bound, EPSILON)
    np.testing.assert_allclose(value, expected, rtol=2e-3, atol=1e-10)
    agree(planes, twin, 2e-3)


@pytest.mark.parametrize("options", [{"kick": 0.01}, {"forget": True}, {"frozen": True}, {"rate": 0.0}], ids=str)
def test_every_option_is_the_twins(options):
    planes, source, move = started(3, 20, 25, strength=0.3)
    fawkes_step(planes, source, None, 15.0, EPSILON)
    twin, move = copied(planes, np.float64), replace(move, **options)
    fawkes_step(planes, source, move, 15.0, EPSILON)
    fawkes_step_numpy(twin, source, move, 15.0, EPSILON)
    agree(planes, twin, 2e-3)
    assert planes.squares.any() != bool(options.get("forget"))


def test_pixels_beyond_the_bound_move_back_unless_frozen():
    """Q9."""
    planes, source, move = started(1, 20, 20, strength=0)
    planes.modifier[:] = 0.5
    planes.squares[:] = planes.steps[:] = 0
    fawkes_step(planes, source, None, 15.0, EPSILON)
    beyond = planes.pictures - (source.centred + 128) >= 15
    assert beyond.any()
    for frozen in (True, False):
        moving = copied(planes)
        fawkes_step(moving, source, replace(move, frozen=frozen), 15.0, EPSILON)
        moved = moving.modifier[beyond] - np.float32(0.5)
        assert (moved <= 0).all()
        assert moved.any() != frozen


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("simd", BITS)
def test_bits_depend_on_neither_instructions_nor_threads_nor_neighbours(simd, threads):
    planes, source, move = started(7, 45, 70)
    start = copied(planes)
    value = fawkes_step(planes, source, move, 15.0, EPSILON, threads=1, simd="scalar")
    again = copied(start)
    np.testing.assert_array_equal(fawkes_step(again, source, move, 15.0, EPSILON, threads=threads, simd=simd), value)
    for name in NAMES:
        np.testing.assert_array_equal(getattr(again, name), getattr(planes, name))
    part, one = slice(6, 9), slice(2, 3)
    alone = FawkesPlanes(*(getattr(start, name)[part].copy() for name in NAMES), VIEW)
    maps = (source.centred, source.centred_mean, source.contrast)
    single = DssimSource(*(m[part] for m in maps), window())
    step = replace(
        move, by_feature=move.by_feature[part], dssim_weight=move.dssim_weight[one],
        feature_weight=move.feature_weight[one], better=move.better[one],
    )  # fmt: skip
    assert fawkes_step(alone, single, step, 15.0, EPSILON, threads=threads, simd=simd)[0] == value[2]
    np.testing.assert_array_equal(alone.modifier, planes.modifier[part])


@pytest.mark.parametrize("simd", BITS)
def test_bits_do_not_depend_on_the_bands_that_planes_are_split_into(simd):
    planes, source, move = started(1, 150, 21)
    start = copied(planes)
    value = fawkes_step(planes, source, move, 15.0, EPSILON, threads=1, simd="scalar")
    for threads in (2, 4, 7, 64):
        again = copied(start)
        np.testing.assert_array_equal(
            fawkes_step(again, source, move, 15.0, EPSILON, threads=threads, simd=simd), value
        )
        for name in NAMES:
            np.testing.assert_array_equal(getattr(again, name), getattr(planes, name))


def test_what_is_shown_is_the_picture_normalised():
    """And a gradient with respect to it moves the modifier as one with respect to the picture does."""
    planes, source, move = started(2, 20, 24)
    plain = replace(copied(planes), shown=None)
    fawkes_step(planes, source, None, 15.0, EPSILON)
    fawkes_step(plain, source, None, 15.0, EPSILON)
    mean, std = (np.reshape(values, (3, 1, 1)) for values in (VIEW.mean, VIEW.std))
    pictures = planes.pictures.reshape(2, 3, 20, 24)
    shown = planes.shown.reshape(2, 3, 20, 24)
    np.testing.assert_allclose(shown, (pictures[:, list(VIEW.channels)] - mean) / std, rtol=1e-5, atol=1e-6)
    by_shown = np.empty_like(shown)
    by_shown[:] = move.by_feature.reshape(2, 3, 20, 24)[:, list(VIEW.channels)] * std
    fawkes_step(planes, source, replace(move, by_feature=by_shown.reshape(6, 20, 24)), 15.0, EPSILON)
    fawkes_step(plain, source, move, 15.0, EPSILON)
    np.testing.assert_allclose(planes.modifier, plain.modifier, rtol=1e-4, atol=1e-6)


def test_no_pictures_and_strided_gradients():
    planes, source, move = started(0, 20, 20)
    assert fawkes_step(planes, source, move, 15.0, EPSILON).shape == (0,)
    planes, source, move = started(2, 20, 24)
    wide = np.zeros((6, 20, 48), np.float32)
    wide[:, :, ::2] = move.by_feature
    again = copied(planes)
    fawkes_step(planes, source, move, 15.0, EPSILON)
    fawkes_step(again, source, replace(move, by_feature=wide[:, :, ::2]), 15.0, EPSILON)
    np.testing.assert_array_equal(again.modifier, planes.modifier)


def test_what_does_not_fit_is_refused():
    planes, source, move = started(2, 20, 24)
    with pytest.raises(ValueError, match=r"by_feature must be \(6, 20, 24\), not \(3, 20, 24\)"):
        fawkes_step(planes, source, replace(move, by_feature=move.by_feature[:3]), 15.0, EPSILON)
    with pytest.raises(ValueError, match=r"better must be \(2,\), not \(3,\)"):
        fawkes_step(planes, source, replace(move, better=np.ones(3, bool)), 15.0, EPSILON)
    with pytest.raises(ValueError, match=r"best must be \(6, 20, 24\), not \(6, 10, 24\)"):
        fawkes_step(replace(planes, best=planes.best[:, :10].copy()), source, move, 15.0, EPSILON)
    for bad in (planes.best.astype(np.float64), planes.best.transpose(0, 2, 1).copy().transpose(0, 2, 1)):
        with pytest.raises(TypeError, match="best must be an array of float32, contiguous"):  # no copy
            fawkes_step(replace(planes, best=bad), source, move, 15.0, EPSILON)

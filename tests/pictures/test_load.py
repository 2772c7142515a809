"""Samples become faces in order; what cannot be used is yielded with its reason."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

import facecure.pictures.load as module
from facecure.execution import Execution
from facecure.pictures.detect import DetectedFace
from facecure.pictures.load import load_faces, stack_faces
from facecure.types import FaceGeometry, Sample

THREADS = pytest.mark.parametrize("threads", [1, 2, 8])
SMALL, LARGE = FaceGeometry(4, 4), FaceGeometry(9, 7, interpolation="bicubic")


def sample(path: Path) -> Sample:
    return Sample("Adam", path, path.stem)


@pytest.fixture
def levels(tmp_path):
    """One hundred samples, each of one level, of different sizes so that threads overtake each other."""
    made = []
    for i in range(100):
        side = 200 if i % 7 == 0 else 5
        Image.fromarray(np.full((side, side, 3), i, np.uint8)).save(tmp_path / f"{i}.png")
        made.append(sample(tmp_path / f"{i}.png"))
    return made


class Blind:
    """A detector that finds nothing."""

    def faces(self, picture):
        return []


@THREADS
def test_order_is_kept_and_every_geometry_is_cut(levels, threads):
    loaded = list(load_faces(levels, [SMALL, LARGE], None, threads))
    assert [item.sample for item in loaded] == levels
    for i, item in enumerate(loaded):
        assert item.excluded is None
        assert item.sha256 == hashlib.sha256(item.sample.path.read_bytes()).hexdigest()
        small, large = item.faces
        np.testing.assert_array_equal(small, np.full((4, 4, 3), i))
        np.testing.assert_array_equal(large, np.full((7, 9, 3), i))


def test_no_samples_give_nothing():
    assert list(load_faces([], [SMALL], None, 2)) == []


@THREADS
def test_known_contents_are_hashed_only(levels, threads, monkeypatch, tmp_path):
    (tmp_path / "no.png").write_bytes(b"\xff\xd8\xff damaged, but known")
    everything = [*levels[:10], sample(tmp_path / "no.png")]
    known = {hashlib.sha256(s.path.read_bytes()).hexdigest() for s in [*everything[:5], everything[-1]]}
    decoded = []
    decode = module.decode
    monkeypatch.setattr(module, "decode", lambda data, *rest: decoded.append(data) or decode(data, *rest))
    loaded = list(load_faces(everything, [SMALL], None, threads, lambda sample, sha256: sha256 in known))
    assert [item.faces is None for item in loaded] == [True] * 5 + [False] * 5 + [True]
    assert all(item.excluded is None and len(item.sha256) == 64 for item in loaded)
    assert len(decoded) == 5


@THREADS
def test_unusable_pictures_are_excluded_where_they_stand(levels, threads, tmp_path):
    bad = {"empty.jpg": b"", "text.jpg": b"hello", "cut.png": levels[0].path.read_bytes()[:-30]}
    for name, content in bad.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "folder.jpg").mkdir()
    names = [*bad, "missing.jpg", "folder.jpg"]
    everything = [s for name, good in zip(names, levels, strict=False) for s in (sample(tmp_path / name), good)]
    loaded = list(load_faces(everything, [SMALL], None, threads))
    assert [item.sample for item in loaded] == everything
    for item in loaded[1::2]:
        assert item.excluded is None
        assert item.faces is not None
    for item in loaded[::2]:
        assert item.faces is None
        assert item.excluded.path == item.sample.path
        assert item.excluded.reason.startswith("unreadable: ")
        assert len(item.excluded.reason) > len("unreadable: ")
    assert [bool(item.sha256) for item in loaded[::2]] == [False, False, True, False, False]


def test_pictures_without_a_face_are_excluded(levels):
    loaded = list(load_faces(levels[:3], [SMALL], Blind(), 2))
    assert [item.excluded.path for item in loaded] == [s.path for s in levels[:3]]
    assert all(item.excluded.reason.startswith("no face: ") and item.faces is None for item in loaded)


def test_a_detectors_landmarks_are_used(levels):
    template = ((1.0, 1.0), (3.0, 1.0), (2.0, 2.0), (1.0, 3.0), (3.0, 3.0))
    aligned = FaceGeometry(5, 5, "align", (5, 5), template)

    class Fixed:
        def faces(self, picture):
            other = DetectedFace(np.array([0.0, 0, 1, 1]), np.array(template))
            # two pixels further left than the face wants them
            return [DetectedFace(np.array([0.0, 0, 5, 5]), np.array(template) - (2, 0)), other]

    loaded = next(load_faces(levels[50:51], [aligned], Fixed(), 1))
    face = loaded.faces[0]
    assert [found.box[2] for found in loaded.found] == [5, 1]
    np.testing.assert_array_equal(face[..., 0], np.tile(np.array([0, 0, 50, 50, 50]), (5, 1)))


@THREADS
def test_few_are_in_flight(levels, threads):
    taken = 0

    def counted():
        nonlocal taken
        for item in levels:
            taken += 1
            yield item

    loaded = load_faces(counted(), [SMALL], None, threads)
    for given in range(1, 30):
        next(loaded)
        assert taken - given < 8 * threads
    loaded.close()


@THREADS
def test_stopping_early_leaves_no_work_and_no_threads(levels, threads, monkeypatch):
    started = []
    decode = module.decode

    def slow(data, *rest):
        started.append(data)
        time.sleep(0.01)
        return decode(data, *rest)

    monkeypatch.setattr(module, "decode", slow)
    before = set(threading.enumerate())
    loaded = load_faces(levels, [SMALL], None, threads)
    next(loaded)
    loaded.close()
    assert set(threading.enumerate()) <= before
    done = len(started)
    assert done <= 8 * threads
    time.sleep(0.05)
    assert len(started) == done


@THREADS
def test_an_error_of_the_detector_reaches_the_caller(levels, threads):
    class Broken:
        def faces(self, picture):
            raise RuntimeError("broken")

    before = set(threading.enumerate())
    with pytest.raises(RuntimeError, match="broken"):
        list(load_faces(levels, [SMALL], Broken(), threads))
    assert set(threading.enumerate()) <= before


def test_opencv_starts_no_threads_meanwhile_and_keeps_its_setting(levels):
    before = cv2.getNumThreads()
    cv2.setNumThreads(3)
    try:
        first, second = (load_faces(levels, [SMALL], None, 2) for _ in range(2))
        next(first)
        next(second)
        assert cv2.getNumThreads() == 1
        first.close()
        assert cv2.getNumThreads() == 1
        second.close()
        assert cv2.getNumThreads() == 3
    finally:
        cv2.setNumThreads(before)


def test_stacked_faces_stand_beside_their_samples(levels):
    levels[3].path.write_bytes(b"no picture")
    seen = []
    how = Execution(threads=2, progress=lambda *call: seen.append(call))
    kept, faces, excluded = stack_faces(levels, LARGE, None, how, "cut")
    assert kept == levels[:3] + levels[4:]
    assert faces.geometry is LARGE
    expected = [np.full((7, 9, 3), i) for i in range(100) if i != 3]
    np.testing.assert_array_equal(faces.pixels, expected)
    assert [one.path for one in excluded] == [levels[3].path]
    assert seen == [("cut", done, 100) for done in range(1, 101)]


def test_no_faces_stack_to_an_empty_array():
    kept, faces, excluded = stack_faces([], LARGE, None, Execution(threads=1))
    assert faces.pixels.shape == (0, 7, 9, 3)
    assert faces.pixels.dtype == np.uint8
    assert kept == excluded == []


class Counting(module.Budget):
    """A budget that remembers the most that was held at a time."""

    most = 0

    def take(self, number, size):
        super().take(number, size)
        Counting.most = max(Counting.most, self._held)


@THREADS
@pytest.mark.parametrize("limit", [1, 40_000, 1 << 29])
def test_whole_pictures_are_bounded_by_bytes_not_by_threads(levels, threads, limit, monkeypatch):
    """A picture of 200 × 200 pixels takes 320 kB while it is decoded, and 120 kB until the next is asked for."""
    monkeypatch.setattr(module, "Budget", Counting)
    monkeypatch.setattr(module, "IN_FLIGHT", limit)
    monkeypatch.setattr(Counting, "most", 0)
    for i, item in enumerate(load_faces(levels, [None], None, threads)):
        np.testing.assert_array_equal(item.faces[0], np.full((*item.size, 3), i))
        time.sleep(0.001)
    largest = 8 * 200 * 200 + max(s.path.stat().st_size for s in levels)
    assert Counting.most <= limit + largest
    if limit == 1 << 29:
        assert Counting.most >= 120_000


@THREADS
def test_a_consumer_that_stops_leaves_nobody_waiting_for_memory(levels, threads, monkeypatch):
    monkeypatch.setattr(module, "IN_FLIGHT", 1)
    before = set(threading.enumerate())
    loaded = load_faces(levels, [None], None, threads)
    next(loaded)
    loaded.close()
    assert set(threading.enumerate()) <= before


def test_everything_taken_is_given_back(levels, tmp_path, monkeypatch):
    (tmp_path / "cut.png").write_bytes(levels[0].path.read_bytes()[:-30])
    made = []

    class Kept(module.Budget):
        def __init__(self, limit):
            super().__init__(limit)
            made.append(self)

    monkeypatch.setattr(module, "Budget", Kept)
    everything = [*levels[:20], sample(tmp_path / "cut.png"), sample(tmp_path / "no.png")]
    known = {hashlib.sha256(levels[3].path.read_bytes()).hexdigest()}
    for geometry in (None, SMALL):
        list(load_faces(everything, [geometry], None, 2, lambda sample, sha256: sha256 in known))
        list(load_faces(everything, [geometry], Blind(), 2))
    assert [budget._held for budget in made] == [0] * 4


def test_a_fifo_among_pictures_stops_nothing_and_nobody(levels, tmp_path):
    """In a process of its own, which has to end by itself, also after the first interruption."""
    os.mkfifo(tmp_path / "3a.png")
    program = (
        "import sys, pathlib\n"
        "from facecure.pictures.load import load_faces\n"
        "from facecure.types import FaceGeometry, Sample\n"
        "files = sorted(pathlib.Path(sys.argv[1]).iterdir())\n"
        "samples = [Sample('A', file, file.stem) for file in files]\n"
        "for item in load_faces(samples, [FaceGeometry(4, 4)], None, 2):\n"
        "    if item.excluded: print(item.sample.path.name, item.excluded.reason)\n"
    )
    done = subprocess.run([sys.executable, "-P", "-c", program, tmp_path], capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout) == (0, "3a.png unreadable: a FIFO, no file\n")


def test_only_pictures_handed_over_whole_have_metadata(tmp_path):
    exif = Image.Exif()
    exif[0x0110] = "model"
    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(tmp_path / "x.jpg", exif=exif)
    whole, cut = (next(load_faces([sample(tmp_path / "x.jpg")], [g], None, 1)) for g in (None, SMALL))
    assert b"model" in whole.metadata.exif
    assert cut.metadata.exif == b""

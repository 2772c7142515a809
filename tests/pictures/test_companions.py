"""Of files of one name the picture wins, whatever the alphabet says."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from facecure.pictures.companions import drop_companions, rank
from facecure.pictures.manifest import read_samples, read_sets

JPEG, PNG, TIFF, VIDEO, TEXT = (
    b"\xff\xd8\xff\xe0",
    b"\x89PNG\r\n\x1a\n",
    b"II*\0\x08\0\0\0",
    b"\0\0\0\x14ftypqt  ",
    b"<?xml",
)


def put(folder: Path, **contents: bytes) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (folder / name.replace("__", ".")).write_bytes(content)
    return folder


CASES = {  # name: files, those kept
    "settings": ({"00__AAE": TEXT, "00__JPG": JPEG}, "00.JPG"),
    "live_photo": ({"00__HEIC": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "00__MOV": VIDEO}, "00.HEIC"),
    "sidecars": ({"x__jpg": JPEG, "x__xmp": TEXT, "x__jpg__xmp": TEXT, "x__jpg__json": b"{}",
                  "x__jpg__supplemental-metadata__json": b"{}"}, "x.jpg"),
    "no_ending": ({"x": JPEG, "x__aae": TEXT}, "x"),
    "of_another_name": ({"a__json": TEXT, "b__jpg": JPEG, "Thumbs__db": b"\xd0\xcf\x11\xe0"}, "Thumbs.db a.json b.jpg"),
    "two_pictures": ({"x__jpg": JPEG, "x__png": PNG}, "x.jpg x.png"),
    "two_pictures_of_dotted_names": ({"x__jpg": JPEG, "x__1__jpg": JPEG}, "x.1.jpg x.jpg"),
    "no_picture_at_all": ({"x__aae": TEXT, "x__mov": VIDEO}, "x.aae x.mov"),
}  # fmt: skip


@pytest.mark.parametrize(("contents", "kept"), CASES.values(), ids=CASES)
def test_the_picture_is_kept_and_its_companions_are_listed_as_such(contents, kept, tmp_path):
    files = sorted(put(tmp_path / "Ann", **contents).iterdir())
    found, excluded = drop_companions(files)
    assert " ".join(file.name for file in found) == kept
    assert sorted([*found, *(e.path for e in excluded)]) == files
    assert all(e.reason.startswith("companion: ") for e in excluded)


def test_what_cannot_be_opened_may_be_the_photo(tmp_path):
    put(tmp_path, x__aae=TEXT)
    os.mkfifo(tmp_path / "x.jpg")
    found, _ = drop_companions(sorted(tmp_path.iterdir()))
    assert [file.name for file in found] == ["x.jpg"]
    put(tmp_path, x__png=PNG)
    assert rank(tmp_path / "x.png") < rank(tmp_path / "x.jpg") < rank(tmp_path / "x.aae")


def test_no_photo_of_a_phones_export_is_lost(tmp_path):
    """36 photos, each with the settings file that sorts before it."""
    for i in range(36):
        put(tmp_path / "clean" / f"p{i % 4}", **{f"{i:02d}__AAE": TEXT, f"{i:02d}__JPG": JPEG})
        put(tmp_path / "cloaked" / f"p{i % 4}", **{f"{i:02d}_cloaked__png": PNG, f"{i:02d}__AAE": TEXT})
    sets = read_sets(tmp_path / "clean", {"c": tmp_path / "cloaked"}, {}, [])
    assert {s.path.suffix for s in sets.samples if s.role == "clean"} == {".JPG"}
    assert [s.role for s in sets.samples].count("clean") == 36
    assert [s.role for s in sets.samples].count("cloaked") == 36


@pytest.mark.parametrize("raw", ["x__ARW", "x__dng"])
def test_of_a_raw_file_and_its_jpeg_the_latter_is_taken_and_the_choice_said(raw, tmp_path):
    put(tmp_path / "clean" / "Ann", **{raw: TIFF, "x__jpg": JPEG, "y__jpg": JPEG})
    sets = read_sets(tmp_path / "clean", {}, {}, [])
    assert [s.path.name for s in sets.samples] == ["x.jpg", "y.jpg"]
    assert [(e.path.name, e.reason) for e in sets.excluded] == [
        (raw.replace("__", "."), "unpaired: x.jpg has the stem 'x' too and is taken; keep one")
    ]


def test_flat_folders_have_companions_too(tmp_path):
    put(tmp_path / "flat", Ann_1_1__aae=TEXT, Ann_1_1__jpg=JPEG)
    samples, excluded, _ = read_samples(tmp_path / "flat")
    assert [s.path.name for s in samples] == ["Ann_1_1.jpg"]
    assert [e.reason.split(":")[0] for e in excluded] == ["companion"]

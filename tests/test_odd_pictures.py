"""Whatever lies among the pictures of an evaluation, it is listed, and nobody else's numbers change."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import facecure as fc
from facecure.pictures import detect
from facecure.report.schema import to_json
from facecure.runs.atomic import write_whole


@pytest.fixture(autouse=True)
def _no_detector(monkeypatch):
    monkeypatch.delenv(detect.VARIABLE, raising=False)


def huge(path: Path) -> None:
    with path.open("wb") as file:
        file.write(b"\xff\xd8\xff")
        file.truncate(40 << 30)  # takes no space


def integers(path: Path) -> None:
    Image.fromarray(np.full((40, 40), 200, np.int32)).save(path, "TIFF")


ODD = {  # among the pictures of one person: how it is made and why it is excluded
    "photo_000.AAE": (lambda path: path.write_bytes(b"<?xml"), "companion: "),
    "photo_001.mov": (lambda path: path.write_bytes(b"\0\0\0\x14ftypqt  " + bytes(64)), "companion: "),
    "fifo.png": (os.mkfifo, "unreadable: a FIFO"),
    "device.png": (lambda path: path.symlink_to("/dev/zero"), "unreadable: a device"),
    "huge.jpg": (huge, "unreadable: 40960 MiB, beyond"),
    "script.jpg": (lambda path: path.write_bytes(b"%!PS-Adobe-3.0 EPSF"), "unreadable: PostScript"),
    "integers.tif": (integers, "unreadable: 32-bit"),
    "caf\udce9.jpg": (lambda path: path.write_bytes(b"no picture"), "unreadable: no known"),
}  # fmt: skip


@pytest.mark.parametrize("where", ["clean", "others"])
def test_odd_files_change_no_number(where, people, make_spec, tmp_path):
    clean, others = people("clean"), people("others", seed=1, names="other_{:02d}")
    given = {
        "cloaked": {"c": people("cloaked", suffix="_cloaked", shift=0.3)}, "distractors": [others],
        "extractors": [make_spec()], "store": tmp_path / "kept",
    }  # fmt: skip
    before = fc.evaluate(clean, **given)
    person = sorted((tmp_path / where).iterdir())[0]
    for name, (make, _) in ODD.items():
        make(person / name)
    after = fc.evaluate(clean, **given)
    assert after.cells == before.cells
    assert sorted(e.path for e in after.excluded) == sorted(person / name for name in ODD)
    for entry in after.excluded:
        assert entry.reason.startswith(ODD[entry.path.name][1])
    write_whole(tmp_path / "report.json", to_json(after))
    assert fc.read_report(tmp_path / "report.json").excluded == after.excluded


def test_names_that_are_not_utf_8_take_part(people, make_spec, tmp_path):
    clean = people("clean")
    cloaked = people("cloaked", suffix="_cloaked", shift=0.3)
    for folder in (clean, cloaked):
        for person in folder.iterdir():
            for file in person.iterdir():
                file.rename(file.with_name(f"\udcff{file.name}"))
            person.rename(person.with_name(f"{person.name}\udce9"))
    report = fc.evaluate(clean, {"c": cloaked}, extractors=[make_spec()], store=tmp_path / "kept")
    assert report.excluded == ()
    assert report.pictures["clean"].pictures == 24
    assert [person.identity for person in report.cells[0].identities] == [f"person_{i:02d}\\xe9" for i in range(4)]
    to_json(report).encode("utf-8", "backslashreplace")

"""Whatever lies among the pictures of a run, it is listed with its reason, and everybody else's cloaks are the same."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("torch")

import facecure as fc
from facecure.cloaks.apply import output, run
from facecure.errors import InputError
from facecure.execution import silent
from facecure.extractors.packaged import packaged_specs, packaged_surrogate
from facecure.pictures import detect
from facecure.pictures.synthetic import make_person, render

LOW = "fawkes-v1.0:low"
SURROGATES = [packaged_surrogate(packaged_specs()[0])]


@pytest.fixture(autouse=True)
def _no_detector(monkeypatch):
    monkeypatch.delenv(detect.VARIABLE, raising=False)


def draw(folder: Path, people: int = 2, pictures: int = 2) -> Path:
    for number in range(people):
        home = folder / f"person_{number}"
        home.mkdir(parents=True)
        for k in range(pictures):
            Image.fromarray(render(make_person(number), k, 64).pixels).save(home / f"{k}.png")
    return folder


def written(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*.png")}


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """The files of a run over good pictures alone."""
    folder = tmp_path_factory.mktemp("good")
    fc.cloak(draw(folder / "photos"), LOW, surrogates=SURROGATES, out=folder / "out")
    return written(folder / "out")


def bytes_named(folder: Path, name: bytes) -> Path:
    return Path(os.fsdecode(os.fsencode(folder) + b"/" + name))


# further pictures of person_0: name, how it is made where it is no picture, and the reason for which it is excluded
ODD = [
    (b"caf\xe9.png", None, ""),
    (b'a\x1b[31m\n,"b".png', None, ""),
    ("字".encode() * 77 + b".png", None, ""),
    ("字".encode() * 82 + b".png", None, "name too long: 258 bytes"),
    (b"fifo.png", os.mkfifo, "unreadable: a FIFO"),
    (b"device.png", lambda path: path.symlink_to("/dev/zero"), "unreadable: a device"),
    (b"loop.png", lambda path: path.symlink_to("loop.png"), "unreadable: Too many levels"),
    (b"script.png", lambda path: path.write_bytes(b"%!PS-Adobe-3.0 EPSF"), "unreadable: PostScript"),
    (b"0.AAE", lambda path: path.write_bytes(b"<?xml"), "companion: "),
]


@pytest.mark.slow
def test_odd_files_are_listed_and_change_nothing_for_the_others(expected, tmp_path):
    photos = draw(tmp_path / "photos")
    picture = (photos / "person_1" / "0.png").read_bytes()
    reasons = {}
    for name, make, reason in ODD:
        odd = bytes_named(photos / "person_0", name)
        if make is None:
            odd.write_bytes(picture)
        else:
            make(odd)
        if reason:
            reasons[odd] = reason
    for before in (0, 7):
        found = fc.cloak(photos, LOW, surrogates=SURROGATES, out=tmp_path / "out")
        assert (found.written, found.before) == (7 - before, before)
        assert {e.path for e in found.excluded} == set(reasons)
        assert all(e.reason.startswith(reasons[e.path]) for e in found.excluded)
        assert expected.items() <= written(tmp_path / "out").items()
    assert sorted(row["key"] for row in found.rows if row["identity"] == "person_0") == [
        "0", "1", 'a\x1b[31m\n,"b"', "caf\\xe9", "字" * 77
    ]  # fmt: skip
    samples, *_ = fc.read_samples(tmp_path / "out" / "manifest.csv")
    assert [s.path.is_file() for s in samples] == [True] * 7
    stated = json.loads((tmp_path / "out" / "cloak.json").read_text(encoding="utf-8"))
    assert {Path(e["path"]) for e in stated["excluded"]} == set(reasons)


def test_a_run_that_cloaks_nothing_fails_with_the_reasons(tmp_path):
    (tmp_path / "photos" / "Ann").mkdir(parents=True)
    (tmp_path / "photos" / "Ann" / "x.jpg").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"no picture of .*photos could be cloaked: .*x\.jpg: unreadable: no known"):
        fc.cloak(tmp_path / "photos", LOW, surrogates=SURROGATES, out=tmp_path / "out")
    stated = json.loads((tmp_path / "out" / "cloak.json").read_text())
    assert [e["reason"] for e in stated["excluded"]] == ["unreadable: no known picture format"]


def test_an_out_that_cannot_be_written_to_is_an_error_naming_it(tmp_path):
    (tmp_path / "file").touch()
    given = {"surrogates": SURROGATES, "out": tmp_path / "file" / "out"}
    with pytest.raises(InputError, match="file/out"):
        fc.cloak(draw(tmp_path / "photos", 1, 1), LOW, **given)
    with pytest.raises(InputError, match=r"trace\.jsonl"):
        fc.cloak(
            tmp_path / "photos",
            LOW,
            output=fc.CloakOutput(trace=tmp_path / "file" / "trace.jsonl"),
            **given | {"out": tmp_path / "out"},
        )


def test_a_name_with_a_nul_is_refused_before_any_work(tmp_path):
    photos = draw(tmp_path / "photos", 1, 1)
    manifest = tmp_path / "photos.csv"
    manifest.write_text(f"identity,path,key\nAnn,{photos / 'person_0' / '0.png'},a\0b\n")
    with pytest.raises(InputError, match="plain names"):
        fc.cloak(manifest, LOW, surrogates=SURROGATES, out=tmp_path / "out")


class TestWholePhotos:
    @pytest.fixture(autouse=True)
    def _detector(self, monkeypatch):
        class Middle:
            digest = "fake"

            def __init__(self, file):
                pass

            def faces(self, picture):
                height, width = picture.shape[:2]
                box = np.array([0.2 * width, 0.2 * height, 0.8 * width, 0.8 * height])
                points = np.array([[0.4, 0.4], [0.6, 0.4], [0.5, 0.5], [0.4, 0.6], [0.6, 0.6]]) * (width, height)
                return [detect.DetectedFace(box, points)]

        monkeypatch.setattr("facecure.zoo.find.YuNet", Middle)
        monkeypatch.setenv(detect.VARIABLE, "fake.onnx")

    def cloak(self, photos: Path, out: Path, progress=silent, **output):
        given = {"output": fc.CloakOutput(whole=True, **output), "execution": fc.Execution(progress=progress)}
        return fc.cloak(photos, LOW, surrogates=SURROGATES, out=out, **given)

    def test_what_transparency_hides_stays_hidden(self, tmp_path):
        photos = tmp_path / "photos" / "Ann"
        photos.mkdir(parents=True)
        seen = render(make_person(0), 0, 64).pixels
        alpha = np.full((64, 64), 255, np.uint8)
        alpha[:10] = 0  # where no cloak reaches
        for name, hidden in (("secret", 0), ("other", 77)):
            below = seen.copy()
            below[:10] = hidden
            Image.fromarray(np.dstack([below, alpha])).save(photos / f"{name}.png")
        self.cloak(photos.parent, tmp_path / "out")
        one, two = (
            np.array(Image.open(tmp_path / "out" / "cloaked" / "Ann" / f"{name}_cloaked.png"))
            for name in ("secret", "other")
        )
        assert (one[:10] == 255).all()
        np.testing.assert_array_equal(two[:10], one[:10])

    @pytest.mark.parametrize("image_format", ["png", "jpeg", "webp"])
    def test_exif_that_cannot_be_written_is_noted_and_the_rest_kept(self, tmp_path, image_format):
        photos = tmp_path / "photos" / "Ann"
        photos.mkdir(parents=True)
        rows = [(0x0110, 2, 3, b"me\0"), (0x011A, 2, 3, b"72\0")]  # the resolution as a text
        exif = b"Exif\0\0MM\0*\0\0\0\x08" + struct.pack(">H", 2) + b"".join(struct.pack(">HHI4s", *r) for r in rows)
        Image.fromarray(render(make_person(0), 0, 64).pixels).save(photos / "odd.jpg", exif=exif + bytes(4))
        Image.fromarray(render(make_person(0), 1, 64).pixels).save(photos / "plain.jpg")
        for _ in range(2):  # the note outlives the run
            found = self.cloak(photos.parent, tmp_path / "out", keep_exif=True, image_format=image_format)
            assert [row["note"] for row in found.rows] == ["EXIF left out, as it cannot be written: XResolution", ""]
            assert [warning.split(": ", 1)[1] for warning in found.warnings] == [found.rows[0]["note"]]
        stated = json.loads((tmp_path / "out" / "cloak.json").read_text())
        assert stated["warnings"] == list(found.warnings)
        with Image.open(tmp_path / "out" / found.rows[0]["path"]) as image:
            assert dict(image.getexif()) == {0x0110: "me"}

    def test_a_source_deleted_meanwhile_is_cloaked_with_what_it_said(self, tmp_path):
        photos = draw(tmp_path / "photos", 1, 3)
        exif = Image.Exif()
        exif[0x0110] = "model"
        for file in (photos / "person_0").iterdir():
            Image.open(file).save(file, exif=exif)

        def delete(stage, done, total):
            if stage == "iterations of this batch":
                for file in (photos / "person_0").iterdir():
                    file.unlink()

        found = self.cloak(photos, tmp_path / "out", keep_exif=True, progress=delete)
        assert (found.written, found.excluded) == (3, ())
        for row in found.rows:
            with Image.open(tmp_path / "out" / row["path"]) as image:
                assert image.getexif()[0x0110] == "model"

    @pytest.mark.slow
    def test_few_photos_are_held_and_their_cloaks_are_the_same(self, tmp_path, monkeypatch):
        photos = draw(tmp_path / "photos", 2, 3)
        self.cloak(photos, tmp_path / "together")
        sizes = []
        real = run.CloakRun._cloak
        monkeypatch.setattr(run, "_PHOTOS_HELD", 2 * 3 * 64 * 64)
        monkeypatch.setattr(
            run.CloakRun, "_cloak", lambda self, tool, faces: (sizes.append(len(faces)), real(self, tool, faces))
        )
        self.cloak(photos, tmp_path / "few")
        assert sizes == [2, 2, 2]
        assert written(tmp_path / "few") == written(tmp_path / "together")

    def test_a_photo_too_large_for_the_format_is_listed(self, tmp_path, monkeypatch):
        photos = draw(tmp_path / "photos", 1, 1)
        Image.new("RGB", (90, 64)).save(photos / "person_0" / "wide.png")
        monkeypatch.setattr(output, "_LONGEST_SIDES", {"webp": 89})
        found = self.cloak(photos, tmp_path / "out", image_format="webp")
        assert found.written == 1
        assert [(e.path.name, e.reason) for e in found.excluded] == [
            ("wide.png", "too large: a side of 90 pixels, beyond 89 of webp, which png has not")
        ]

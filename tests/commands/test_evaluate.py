"""From folders of pictures to the report: the right counts, nothing dropped silently, nobody moved by somebody else."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image
from scipy.stats import binomtest

from facecure.errors import InputError
from facecure.execution import Execution
from facecure.extractors import packaged
from facecure.extractors.runtimes.onnx import OnnxExtractor
from facecure.extractors.spec import ExtractorSpec, read_spec
from facecure.report.markdown import markdown
from facecure.report.model import CellResult, Report, Unmeasured
from facecure.report.provenance import PictureCounts
from facecure.report.schema import from_json, to_json
from facecure.types import Embeddings, FaceGeometry, Faces

from .ask import ask

PROTOCOLS = ("corrected", "facecure-2021")


@pytest.fixture(autouse=True)
def _no_detector(monkeypatch):
    monkeypatch.delenv("FACECURE_DETECTOR", raising=False)


@pytest.fixture
def scene(people, make_spec):
    """Return a function that makes people, their cloaks (`shift` towards the next person) and evaluates them."""

    def evaluate_scene(shift: float = 0.5, *, identities: int = 6, noise: float = 45.0, **options) -> Report:
        clean = people("clean", identities, 10, noise=noise)
        cloaked = people("cloaked", identities, 10, noise=noise, suffix="_cloaked", shift=shift)
        return ask(clean, {"cloak": cloaked}, extractors=[make_spec()], **options)

    return evaluate_scene


def copied(source: Path, folder: str, suffix: str, *, change: int = 0) -> Path:
    """Copy all pictures under names with another suffix; with `change` the middle differs by so much."""
    for path in sorted(source.rglob("*.png")):
        target = source.parent / folder / path.parent.name / f"{path.stem.removesuffix('_cloaked')}{suffix}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        if change:
            pixels = np.array(Image.open(path))
            spot = pixels[15:25, 15:25, 1].astype(int)
            pixels[15:25, 15:25, 1] = np.where(spot < 128, spot + change, spot - change)
            Image.fromarray(pixels).save(target)
        else:
            shutil.copyfile(path, target)
    return source.parent / folder


def cells(report: Report) -> str:
    return json.dumps(json.loads(to_json(report))["cells"])


def reasons(report: Report) -> dict[str, str]:
    """File name → kind of exclusion; each excluded path is listed once."""
    paths = [entry.path for entry in report.excluded]
    assert len(set(paths)) == len(paths)
    return {entry.path.name: entry.reason.split(":")[0] for entry in report.excluded}


def counts(cell: CellResult) -> dict[str, tuple[int, ...]]:
    return {
        p.identity: (p.probes, p.identified, p.clean.n - p.clean.hits, p.enrolled.n, p.control.n, p.control.hits)
        for p in cell.identities
    }


def blocks(path: Path) -> np.ndarray:
    """What the extractor of `make_spec` returns, from the definition."""
    pixels = np.array(Image.open(path).resize((16, 16), Image.Resampling.BILINEAR), np.float64)
    planes = ((pixels - 127.5) / 128).transpose(2, 0, 1)
    vector = planes.reshape(3, 4, 4, 4, 4).mean(axis=(2, 4)).ravel()
    return vector / np.linalg.norm(vector)


def literal(clean: Path, cloaked: Path, embed=blocks) -> dict[str, tuple[int, ...]]:
    """The released procedure, one protected identity at a time, from the pictures on."""
    people = {p.name: [embed(f) for f in sorted(p.iterdir())] for p in sorted(clean.iterdir())}
    cloaks = {p.name: [embed(f) for f in sorted(p.iterdir())] for p in sorted(cloaked.iterdir())}
    running = random.Random(10)
    drawn = {name: running.sample(range(len(rows)), int(0.3 * len(rows))) for name, rows in people.items()}

    def nearest(probe: np.ndarray, gallery: list[tuple[str, np.ndarray]]) -> str:
        return min(gallery, key=lambda row: float(np.sum((row[1] - probe) ** 2)))[0]

    found = {}
    for name, own in people.items():
        test = random.Random(10).sample(range(len(own)), int(0.3 * len(own)))
        train = [i for i in range(len(own)) if i not in test]
        others = [(o, v) for o in people if o != name for i, v in enumerate(people[o]) if i not in drawn[o]]
        attacked = others + [(name, cloaks[name][i]) for i in train]
        controls = [(o, people[o][i]) for o in people if o != name for i in drawn[o]]
        found[name] = (
            len(test),
            sum(nearest(own[i], attacked) == name for i in test),
            sum(nearest(own[i], others + [(name, own[i]) for i in train]) == name for i in test),
            len(train),
            len(controls),
            sum(nearest(probe, attacked) != o for o, probe in controls),
        )
    return found


@pytest.mark.parametrize("shift", [0.0, 0.45, 1.0])
def test_facecure_2021_counts_what_the_literal_procedure_counts(scene, tmp_path, shift):
    (cell,) = scene(shift, noise=90.0, protocol="facecure-2021").cells
    assert counts(cell) == literal(tmp_path / "clean", tmp_path / "cloaked")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_report_has_the_contracts_fields(scene, protocol):
    data = json.loads(to_json(scene(protocol=protocol)))
    assert data["schema"] == "facecure.report/2"
    assert data.keys() >= {"schema", "cells", "excluded", "environment"}
    (cell,) = data["cells"]
    assert cell.keys() >= {
        "cloak", "extractor", "recogniser", "scenario", "protocol", "protection_rate", "probes", "identified",
        "interval", "bootstrap", "clean_error", "control_error", "identities",
    }  # fmt: skip
    named = tuple(cell[key] for key in ("cloak", "extractor", "recogniser", "scenario", "protocol"))
    assert named == ("cloak", "blocks", "nn", "baseline", protocol)
    assert [len(cell[key]) for key in ("interval", "bootstrap", "identities")] == [2, 2, 6]
    for person in cell["identities"]:
        assert person.keys() >= {"identity", "probes", "identified", "clean_identified", "revealed_by"}
        assert all(picture.keys() >= {"path", "probes"} for picture in person["revealed_by"])
    assert any(person["revealed_by"] for person in cell["identities"])
    environment = data["environment"]
    assert {"facecure", "numpy"} <= environment["versions"].keys()
    assert {"weights_sha256", "digest", "runtime", "precision", "device"} <= environment["extractors"][0].keys()
    assert {"cpu", "commit", "seconds"} <= environment.keys()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_whole_report_survives_json(scene, protocol):
    report = scene(protocol=protocol, repeats=None)
    assert from_json(to_json(report)) == report


@pytest.mark.parametrize(("protocol", "splits"), [("corrected", 10), ("corrected", 3), ("facecure-2021", 1)])
def test_counts_add_up_and_rates_follow_from_them(scene, protocol, splits):
    report = scene(0.45, noise=90.0, protocol=protocol, repeats=splits)
    (cell,) = report.cells
    assert report.protocol.splits == splits == len(cell.split_rates)
    assert [p.probes for p in cell.identities] == [splits * 3] * 6
    assert [p.enrolled.n for p in cell.identities] == [splits * 7] * 6
    assert [p.control.n for p in cell.identities] == [splits * 3 * 5] * 6
    assert (cell.probes, cell.identified) == tuple(
        sum(getattr(p, k) for p in cell.identities) for k in ("probes", "identified")
    )
    assert 0 < cell.identified < cell.probes, "the scene must be neither trivial nor hopeless"
    assert cell.protection_rate == pytest.approx(1 - cell.identified / cell.probes, abs=1e-15)
    assert cell.clean_error == pytest.approx(sum(p.clean.hits for p in cell.identities) / cell.probes, abs=1e-15)
    errors = [p.control.value for p in cell.identities]
    assert cell.control_error == pytest.approx(np.mean(errors), abs=1e-15)
    assert cell.identity_mean == pytest.approx(
        np.mean([1 - p.identified / p.probes for p in cell.identities]), abs=1e-15
    )
    assert np.mean(cell.split_rates) == pytest.approx(cell.protection_rate, abs=1e-15)  # splits are of equal size
    for counted in (cell, *cell.identities):
        wilson = binomtest(counted.probes - counted.identified, counted.probes).proportion_ci(method="wilson")
        assert counted.protection.wilson == pytest.approx((wilson.low, wilson.high), abs=1e-12)
    for person in cell.identities:
        assert sum(r.probes for r in person.revealed_by) == person.identified
        assert all(0 <= r.alone <= r.probes for r in person.revealed_by)
        assert all(Path(r.path).match(f"cloaked/{person.identity}/*_cloaked.png") for r in person.revealed_by)
    assert cell.bootstrap[0] <= cell.protection_rate <= cell.bootstrap[1]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_cloaks_that_change_nothing_protect_as_much_as_no_cloak(people, make_spec, protocol):
    clean = people("clean", 6, 10, noise=110.0)
    (cell,) = ask(
        clean, {"copy": copied(clean, "copy", "_cloaked", change=1)}, extractors=[make_spec()], protocol=protocol
    ).cells
    assert cell.protection_rate == cell.clean_error > 0
    assert all(person.protection == person.clean for person in cell.identities)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_cloaks_that_look_like_somebody_else_protect(scene, protocol):
    (cell,) = scene(1.0, noise=20.0, protocol=protocol).cells
    assert cell.clean_error == 0
    assert cell.protection_rate == 1


def test_cloaks_and_extractors_make_one_cell_each(people, make_spec):
    clean = people("clean", 3, 6)
    cloaks = {n: people(n, 3, 6, suffix="_cloaked", shift=s) for n, s in (("zeta", 0.2), ("alpha", 1.0))}
    report = ask(clean, cloaks, extractors=[make_spec("one"), make_spec("two")], repeats=2)
    assert [(c.cloak, c.extractor) for c in report.cells] == [(c, e) for c in ("zeta", "alpha") for e in ("one", "two")]
    assert counts(report.cells[0]) == counts(report.cells[1])
    assert report.cells[0].protection_rate < report.cells[2].protection_rate
    assert report.pictures["clean"] == PictureCounts(3, 18, 18)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_people_without_cloaks_stay_in_the_gallery(scene, people, make_spec, tmp_path, protocol):
    scene(noise=90.0)
    shutil.rmtree(tmp_path / "cloaked" / "person_01")  # never named as protected
    for picture in (tmp_path / "cloaked" / "person_04").iterdir():
        picture.write_bytes(b"no picture")
    (cell,) = ask(
        tmp_path / "clean", {"cloak": tmp_path / "cloaked"}, extractors=[make_spec()], protocol=protocol, repeats=1
    ).cells
    assert [p.identity for p in cell.identities] == ["person_00", "person_02", "person_03", "person_05"]
    assert cell.unmeasured == (Unmeasured("person_04", "no usable cloaked picture"),)
    assert {p.control.n for p in cell.identities} == {3 * 5}
    assert cell.bootstrap is None  # below five identities


def test_a_person_with_too_few_pictures_has_no_rate(people, make_spec, tmp_path):
    clean, cloaked = people("clean", 3, 6), people("cloaked", 3, 6, suffix="_cloaked")
    for path in [*clean.glob("person_02/*"), *cloaked.glob("person_02/*")]:
        if "photo_000" not in path.name:
            path.unlink()
    (cell,) = ask(clean, {"c": cloaked}, extractors=[make_spec()]).cells
    assert [p.identity for p in cell.identities] == ["person_00", "person_01"]
    assert [entry.identity for entry in cell.unmeasured] == ["person_02"]
    assert "probe" in cell.unmeasured[0].reason


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_unprotected_pictures_replace_the_clean_ones_of_their_cloak(scene, make_spec, tmp_path, protocol):
    plain = scene(0.45, noise=90.0, protocol=protocol)
    clean, cloaked = tmp_path / "clean", tmp_path / "cloaked"

    def run(unprotected: Path) -> Report:
        return ask(
            clean, {"cloak": cloaked}, unprotected={"cloak": unprotected}, extractors=[make_spec()], protocol=protocol
        )

    assert cells(run(copied(clean, "same", "_small"))) == cells(plain)
    # the cloaked pictures as their own clean counterparts: with and without cloak are the same then
    (cell,) = run(copied(cloaked, "cloaks_again", "_small", change=1)).cells
    assert cell.protection_rate == cell.clean_error != plain.cells[0].protection_rate
    assert cell.probes == plain.cells[0].probes


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_one_file_under_two_names_is_excluded_on_both_sides(people, make_spec, protocol):
    clean, cloaked = people("clean", 4, 8, noise=90.0), people("cloaked", 4, 8, suffix="_cloaked", noise=90.0)
    shutil.copyfile(clean / "person_00" / "photo_002.png", clean / "person_01" / "photo_005.png")
    shutil.copyfile(cloaked / "person_02" / "photo_000_cloaked.png", cloaked / "person_03" / "photo_007_cloaked.png")
    run = lambda: ask(clean, {"c": cloaked}, extractors=[make_spec()], protocol=protocol)  # noqa: E731
    with_duplicates = run()
    assert [(e.path.relative_to(clean.parent), e.reason.split(":")[0]) for e in with_duplicates.excluded] == [
        (Path("clean/person_00/photo_002.png"), "duplicate"),
        (Path("clean/person_01/photo_005.png"), "duplicate"),
        (Path("cloaked/person_02/photo_000_cloaked.png"), "duplicate"),
        (Path("cloaked/person_03/photo_007_cloaked.png"), "duplicate"),
        (Path("cloaked/person_00/photo_002_cloaked.png"), "unpaired"),
        (Path("cloaked/person_01/photo_005_cloaked.png"), "unpaired"),
    ]
    assert "person_01" in with_duplicates.excluded[0].reason
    for entry in with_duplicates.excluded:
        entry.path.unlink()
    assert cells(run()) == cells(with_duplicates)


def test_one_person_alone_is_refused_before_any_work(people, make_spec, monkeypatch):
    monkeypatch.setattr(OnnxExtractor, "embed", lambda self, faces: pytest.fail("embedded before the check"))
    clean, cloaked = people("clean", 1, 10), people("cloaked", 1, 10, suffix="_cloaked")
    for recogniser in ("nn", "linear", "end-to-end"):
        with pytest.raises(InputError, match=r"nobody but person_00: .*distractors"):
            ask(clean, {"c": cloaked}, extractors=[make_spec()], recogniser=recogniser)


def test_one_person_alone_after_exclusions_is_refused_too(people, make_spec):
    clean, cloaked = people("clean", 1, 10), people("cloaked", 1, 10, suffix="_cloaked")
    others = people("others", 1, 1, names="stranger_{:02d}", seed=5)
    next(others.rglob("*.png")).write_text("no picture")
    with pytest.raises(InputError, match=r"nobody but person_00 \(1 pictures excluded, .*unreadable"):
        ask(clean, {"c": cloaked}, extractors=[make_spec()], distractors=[others])


def test_who_else_is_in_the_gallery_is_said_beside_the_rate(people, make_spec):
    clean, cloaked = people("clean", 4, 10), people("cloaked", 4, 10, suffix="_cloaked")
    others = people("others", 7, 3, names="stranger_{:02d}", seed=5)
    run = lambda *d: ask(clean, {"c": cloaked}, extractors=[make_spec()], distractors=d, repeats=2)  # noqa: E731
    few, more = run(), run(others)
    assert [(r.cells[0].other_people, r.cells[0].other_pictures) for r in (few, more)] == [(3, 21), (10, 42)]
    assert [r.cells[0].chance for r in (few, more)] == pytest.approx([1 / 4, 7 / 49])
    assert [sum("answers at random would find" in w for w in r.warnings) for r in (few, more)] == [1, 1]
    assert "10 people, 42 pictures" in markdown(more)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("how", ["bytes", "saved again"])
def test_a_cloaked_picture_that_is_the_clean_one_is_counted_and_named(scene, make_spec, tmp_path, protocol, how):
    whole = scene(1.0, noise=20.0, protocol=protocol)  # looks like somebody else: protects altogether
    clean, cloaked = tmp_path / "clean", tmp_path / "cloaked"
    bare = [cloaked / "person_00" / f"photo_{k:03d}_cloaked.png" for k in range(10)]
    for file in bare:
        original = clean / "person_00" / f"{file.stem.removesuffix('_cloaked')}.png"
        if how == "bytes":
            shutil.copyfile(original, file)
        else:
            Image.open(original).save(file, compress_level=1)
            assert file.read_bytes() != original.read_bytes()
    report = ask(clean, {"cloak": cloaked}, extractors=[make_spec()], protocol=protocol)
    counted, without = report.cells
    assert counted.uncloaked == tuple(map(str, bare))
    assert {person.identity: person.identified / person.probes for person in counted.identities} == {
        f"person_{i:02d}": float(i == 0) for i in range(6)
    }
    # the row without them is that of the others' cloaks, in the same gallery
    assert (without.cloak, without.uncloaked) == ("cloak without its uncloaked", ())
    assert [person.identity for person in without.identities] == [f"person_{i:02d}" for i in range(1, 6)]
    assert without.protection_rate == 1 == whole.cells[0].protection_rate
    assert not report.comparisons
    kinds = [suspect.reason.partition(":")[0] for suspect in report.suspects]
    assert kinds[:10] == ["uncloaked"] * 10
    assert "uncloaked" not in kinds[10:]
    assert any("10 suspects (uncloaked)" in warning for warning in report.warnings)
    assert "cloak (10 not cloaked)" in markdown(report)


def test_the_clean_folder_as_cloaks_is_refused(people, make_spec):
    clean = people("clean", 3, 6)
    for cloaked in (clean, copied(clean, "again", "_cloaked")):
        with pytest.raises(
            InputError, match=r"cloaked 'c': every picture in it is the clean one, such as \S*photo_000"
        ):
            ask(clean, {"c": cloaked}, extractors=[make_spec()])


def test_the_same_picture_twice_is_one(scene, make_spec, tmp_path):
    once = scene(0.45, noise=90.0)
    clean, cloaked = tmp_path / "clean", tmp_path / "cloaked"
    for folder, ending in ((clean, ""), (cloaked, "_cloaked")):
        for k in range(10):
            file = folder / "person_00" / f"photo_{k:03d}{ending}.png"
            shutil.copyfile(file, file.with_name(f"photo_{k:03d} (copy){ending}.png"))
    run = lambda protocol: ask(clean, {"cloak": cloaked}, extractors=[make_spec()], protocol=protocol)  # noqa: E731
    twice = run("corrected")
    assert counts(twice.cells[0]).keys() == counts(once.cells[0]).keys()
    assert twice.cells[0].distinct_probes <= 60
    # which of two equal files stays is by name: the others' splits do not move, the person's have as many pictures
    assert counts(twice.cells[0])["person_00"][0] == counts(once.cells[0])["person_00"][0]
    for i in range(1, 6):
        assert counts(twice.cells[0])[f"person_{i:02d}"][0] == counts(once.cells[0])[f"person_{i:02d}"][0]
    kinds = [entry.reason.partition(":")[0] for entry in twice.excluded]
    assert (kinds.count("duplicate"), kinds.count("unpaired")) == (10, 10)
    assert twice.pictures["clean"] == replace(once.pictures["clean"], found=70)
    released = run("facecure-2021")  # to the letter, and said
    assert released.cells[0].identities[0].probes == 6
    assert [s.reason.partition(":")[0] for s in released.suspects] == ["duplicate"] * 10
    assert any("10 suspects (duplicate)" in warning for warning in released.warnings)
    assert released.cells[0].distinct_probes <= 6 * 3 + 3


def test_the_split_is_that_of_the_pictures_that_stay(scene, make_spec, tmp_path):
    once = scene(0.45, noise=90.0)
    file = tmp_path / "clean" / "person_00" / "photo_003.png"
    shutil.copyfile(file, file.with_name("zz.png"))  # later by name, without a cloak: the first one stays
    twice = ask(tmp_path / "clean", {"cloak": tmp_path / "cloaked"}, extractors=[make_spec()])
    assert cells(twice) == cells(once)
    shutil.move(file.with_name("zz.png"), file.with_name("aa.png"))  # earlier by name: the one with a cloak stays
    again = ask(tmp_path / "clean", {"cloak": tmp_path / "cloaked"}, extractors=[make_spec()])
    assert cells(again) == cells(once)
    assert reasons(again) == {"aa.png": "duplicate"}


def test_cloaks_of_one_content_are_of_neither_picture(scene, make_spec, tmp_path):
    scene(0.45, noise=90.0)
    home = tmp_path / "cloaked" / "person_00"
    shutil.copyfile(home / "photo_000_cloaked.png", home / "photo_001_cloaked.png")
    shutil.copyfile(tmp_path / "clean" / "person_00" / "photo_005.png", home / "photo_002_cloaked.png")
    report = ask(tmp_path / "clean", {"cloak": tmp_path / "cloaked"}, extractors=[make_spec()])
    said = {entry.path.name: entry.reason for entry in report.excluded}
    assert said.keys() == {f"photo_00{k}_cloaked.png" for k in range(3)}
    assert "the cloak of 'photo_001'" in said["photo_000_cloaked.png"]
    assert "the cloak of 'photo_000'" in said["photo_001_cloaked.png"]
    assert "the clean picture 'photo_005'" in said["photo_002_cloaked.png"]


def test_one_person_under_two_names_is_pointed_out(people, make_spec, tmp_path):
    clean = people("clean", 4, 16, names="First Last {:02d}")
    cloaked = people("cloaked", 4, 16, names="First Last {:02d}", suffix="_cloaked", shift=0.5)
    for k in range(8, 16):  # half of the first one's pictures lie among other people
        file = clean / "First Last 00" / f"photo_{k:03d}.png"
        target = tmp_path / "others" / "First_Last_00" / file.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(file, target)
        (cloaked / "First Last 00" / f"photo_{k:03d}_cloaked.png").unlink()
    people("others", 12, 3, names="stranger_{:02d}", seed=5)
    report = ask(clean, {"c": cloaked}, extractors=[make_spec()], distractors=[tmp_path / "others"], repeats=2)
    kinds = [(s.path.parent.name, s.reason.partition(":")[0]) for s in report.suspects]
    assert [found for found in kinds if found[1] != "near-duplicate"] == [
        ("First_Last_00", "name"),
        ("First_Last_00", "look-alike"),
    ]
    assert sum("an impostor to themselves" in warning for warning in report.warnings) == 2


def test_distractors_are_enrolled_and_never_searched(people, make_spec):
    clean = people("clean", 4, 8)
    cloaked = people("cloaked", 4, 8, suffix="_cloaked")
    lookalikes = people("others", 4, 8, names="stranger_{:02d}", noise=0.0)
    run = lambda *d: ask(clean, {"c": cloaked}, extractors=[make_spec()], distractors=d, repeats=4)  # noqa: E731
    alone, crowded = run(), run(lookalikes)
    assert alone.cells[0].protection_rate == alone.cells[0].control_error == 0
    # the noiseless pattern of each person is nearer than any noisy picture of them
    assert crowded.cells[0].protection_rate > 0.9
    assert crowded.cells[0].clean_error > 0.9
    assert crowded.cells[0].control_error > 0.9
    assert [p.identity for p in crowded.cells[0].identities] == [p.identity for p in alone.cells[0].identities]
    assert crowded.cells[0].probes == alone.cells[0].probes
    # without noise the eight of each are one picture
    assert crowded.pictures["distractor"] == PictureCounts(4, 4, 32)


def test_a_distractor_who_is_one_of_the_people_is_excluded(people, make_spec):
    clean, cloaked = people("clean", 3, 6), people("cloaked", 3, 6, suffix="_cloaked")
    run = lambda *d: ask(clean, {"c": cloaked}, extractors=[make_spec()], distractors=d, repeats=2)  # noqa: E731
    alone = run()
    report = run(people("others", 4, 1, seed=5), people("more", 3, 1, seed=6))
    assert [entry.reason.split(":")[0] for entry in report.excluded] == ["distractor"] * 6
    assert report.pictures["distractor"] == PictureCounts(1, 1, 1)
    assert report.cells[0].probes == alone.cells[0].probes


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_broken_pictures_are_listed_and_move_no_number(scene, people, make_spec, tmp_path, protocol):
    scene(0.45, noise=90.0)
    clean, cloaked = tmp_path / "clean", tmp_path / "cloaked"
    others = people("others", 6, 5, names="stranger_{:02d}", seed=3)

    def run() -> Report:
        return ask(clean, {"c": cloaked}, extractors=[make_spec()], distractors=[others], protocol=protocol, repeats=3)

    whole = run()
    picture = (clean / "person_00" / "photo_000.png").read_bytes()
    broken = {
        "clean/person_00/photo_000b.png": b"no picture",
        "clean/person_03/aaa.jpg": picture[:-100],
        "clean/person_05/photo_009_.png": b"",
        "cloaked/person_00/photo_000b_cloaked.png": picture[: len(picture) // 2],
        "cloaked/person_03/aaa_cloaked.png": b"",
        "cloaked/person_05/photo_009__cloaked.png": b"no picture",
        "others/stranger_00/photo_000a.png": bytes(1000),
        "others/stranger_07/photo_000.png": b"GIF89a",
    }
    for name, content in broken.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    assert len(broken) >= 0.05 * sum(
        path.is_file() for folder in (clean, cloaked, others) for path in folder.rglob("*")
    )
    damaged = run()
    assert cells(damaged) == cells(whole)
    assert reasons(damaged) == {Path(name).name: "unreadable" for name in broken}
    assert {str(entry.path.relative_to(tmp_path)) for entry in damaged.excluded} == broken.keys()
    assert damaged.pictures["clean"] == replace(whole.pictures["clean"], found=63)


def test_a_clean_picture_of_a_cloaked_person_without_cloak_is_listed_and_stays_a_probe(scene, make_spec, tmp_path):
    whole = scene(repeats=1)
    (tmp_path / "cloaked" / "person_00" / "photo_003_cloaked.png").unlink()
    report = ask(tmp_path / "clean", {"cloak": tmp_path / "cloaked"}, extractors=[make_spec()], repeats=1)
    (entry,) = report.excluded
    assert entry.path == tmp_path / "clean" / "person_00" / "photo_003.png"
    assert entry.reason.startswith("unpaired: no cloak counterpart")
    assert report.cells[0].probes == whole.cells[0].probes


def test_a_broken_picture_that_was_never_cloaked_is_listed_once(scene, make_spec, tmp_path):
    scene(repeats=1)
    (tmp_path / "clean" / "person_00" / "broken.png").write_text("no picture")
    report = ask(tmp_path / "clean", {"cloak": tmp_path / "cloaked"}, extractors=[make_spec()], repeats=1)
    assert reasons(report) == {"broken.png": "unreadable"}


def test_a_cloak_whose_pictures_break_more_often_than_clean_ones_is_warned_of(scene, make_spec, tmp_path):
    whole = scene()
    for name in ("person_00/photo_000_cloaked.png", "person_01/photo_004_cloaked.png"):
        (tmp_path / "cloaked" / name).write_text("no picture")
    report = ask(tmp_path / "clean", {"cloak": tmp_path / "cloaked"}, extractors=[make_spec()])
    (warning,) = set(report.warnings) - set(whole.warnings)
    assert "cloak: 2 of 60" in warning


def test_unproven_weights_are_warned_of_and_proven_ones_are_not(scene, make_spec, tmp_path):
    report = scene(repeats=1)
    sha256 = report.environment.extractors[0]["weights_sha256"]
    (warning,) = [text for text in report.warnings if "at random" not in text]
    assert "blocks" in warning
    assert "sha256" in warning
    assert sha256 in warning
    proven = make_spec("proven", **{'name = "proven"\n': f'name = "proven"\nsha256 = "{sha256}"\n'})
    folders = tmp_path / "clean", {"cloak": tmp_path / "cloaked"}
    assert not [w for w in ask(*folders, extractors=[proven], repeats=1).warnings if "at random" not in w]


@pytest.mark.parametrize(("repeats", "warned"), [(None, False), (1, False), (3, True)])
def test_facecure_2021_says_that_it_has_one_split(scene, repeats, warned):
    report = scene(protocol="facecure-2021", repeats=repeats)
    assert any("facecure-2021 has exactly one split" in warning for warning in report.warnings) == warned
    assert report.protocol.splits == len(report.cells[0].split_rates) == 1


MISTAKES = {
    "protocol": ({"protocol": "2021"}, "unknown protocol '2021'; known are corrected, facecure-2021"),
    "repeats": ({"repeats": 0}, "repeats must be 1 or more, not 0"),
    "no extractor": ({"extractors": []}, "at least one extractor"),
    "no cloak": ({"cloaked": {}}, "at least one cloak"),
    "no folder": ({"clean": "/nowhere"}, "/nowhere: no such folder"),
    "no cloak folder": ({"cloaked": {"c": "/nowhere"}}, "/nowhere: no such folder"),
    "no distractor folder": ({"distractors": ["/nowhere"]}, "/nowhere: no such folder"),
    "unknown unprotected": ({"unprotected": {"other": "/nowhere"}}, "unprotected has 'other', which cloaked has not"),
    "no detector": ({"detector": "/nowhere.onnx"}, r"detector /nowhere\.onnx: no such file"),
    "no spec": ({"extractors": ["/nowhere.toml"]}, r"extractor spec /nowhere\.toml: No such file"),
    "no zoo name": ({"extractors": ["sface"]}, "the zoo has no 'sface'; did you mean .*sface-opencv"),
    "weights to fetch": ({"extractors": ["sface-opencv"]}, "(?s)not on this machine.*models fetch sface-opencv"),
    "a detector to fetch": ({"detector": "mtcnn"}, "(?s)mtcnn is not on this machine.*models fetch mtcnn"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named_before_any_picture_is_embedded(people, make_spec, monkeypatch, tmp_path, mistake):
    options, message = MISTAKES[mistake]
    monkeypatch.setenv("FACECURE_MODELS", str(tmp_path / "models"))
    monkeypatch.setattr(OnnxExtractor, "embed", lambda self, faces: pytest.fail("embedded before the check"))
    given = {"clean": people(), "cloaked": {"c": people("cloaked", suffix="_cloaked")}, "extractors": [make_spec()]}
    with pytest.raises(InputError, match=message):
        ask(**given | options)


def test_a_name_of_the_zoo_brings_year_training_set_and_terms_into_the_report(people, tmp_path, monkeypatch):
    pytest.importorskip("torch")
    from facecure.zoo import catalogue

    source = Path(packaged.__file__).parent / "plain.pt"
    (tmp_path / "models").mkdir()
    shutil.copy(source, tmp_path / "models")
    pixels = {"width": 64, "height": 64, "mean": [127.5] * 3, "std": [127.5] * 3}
    entry = catalogue.ZooEntry(
        "plain", "extractor", (catalogue.ZooFile("plain.pt", page="by hand"),), "drawn people", "none", "Apache-2.0",
        2026, "none", "",
        {
            "input": pixels, "embedding": {"size": 64}, "architecture": "tiny-plain",
            "about": {"training_set": "drawn people", "data_terms": "none", "licence": "Apache-2.0", "year": 2026},
        },
    )  # fmt: skip
    monkeypatch.setattr(catalogue, "zoo", lambda: {"plain": entry})
    monkeypatch.setenv("FACECURE_MODELS", str(tmp_path / "models"))
    report = ask(people(), {"c": people("cloaked", suffix="_cloaked")}, extractors=["plain"])
    (ran,) = report.environment.extractors
    known = {key: ran[key] for key in ("name", "year", "training_set", "data_terms", "licence", "sha256_from")}
    assert list(known.values()) == ["plain", 2026, "drawn people", "none", "Apache-2.0", "first use"]
    assert ran["weights_sha256"] == hashlib.sha256(source.read_bytes()).hexdigest()
    assert any("its publisher gives no checksum" in warning for warning in report.warnings)
    text = markdown(report)
    for said in ("2026", "drawn people", "Apache-2.0"):
        assert said in text


def test_two_extractors_of_one_name_are_refused(people, make_spec, tmp_path):
    spec = make_spec()
    shutil.copyfile(spec, spec.with_name("again.toml"))
    with pytest.raises(InputError, match="2 extractors are called 'blocks'"):
        ask(people(), {"c": people("cloaked", suffix="_cloaked")}, extractors=[spec, spec.with_name("again.toml")])


def test_cloaks_of_nobody_are_refused(people, make_spec):
    strangers = people("cloaked", suffix="_cloaked", names="stranger_{:02d}")
    with pytest.raises(InputError, match=r"no picture of .*cloaked pairs with one of .*clean"):
        ask(people(), {"c": strangers}, extractors=[make_spec()])


@pytest.mark.parametrize("how", ["argument", "variable"])
def test_a_detector_that_is_none_is_named(people, make_spec, tmp_path, monkeypatch, how):
    (tmp_path / "yunet.onnx").write_text("hello")
    if how == "variable":
        monkeypatch.setenv("FACECURE_DETECTOR", str(tmp_path / "yunet.onnx"))
    options = {"detector": tmp_path / "yunet.onnx"} if how == "argument" else {}
    with pytest.raises(InputError, match=r"yunet\.onnx is not a YuNet"):
        ask(people(), {"c": people("cloaked", suffix="_cloaked")}, extractors=[make_spec()], **options)


class Colour:
    """An extractor of a user's own: the mean colour of a face."""

    spec = ExtractorSpec(
        "colour",
        Path("colour.py"),
        "0" * 64,
        FaceGeometry(4, 4),
        "RGB",
        "NCHW",
        (0, 0, 0),
        (1, 1, 1),
        3,
        normalise=False,
    )
    digest = "1" * 64
    batch = 5
    what_ran = {"name": "colour", "digest": digest, "runtime": "numpy"}  # noqa: RUF012

    def embed(self, faces: Faces) -> Embeddings:
        return Embeddings(faces.pixels.mean(axis=(1, 2), dtype=np.float64).astype(np.float32), self.digest)


def colour(path: Path) -> np.ndarray:
    return np.array(Image.open(path).resize((4, 4), Image.Resampling.BILINEAR), np.float64).mean(axis=(0, 1))


def test_an_extractor_may_be_any_object_with_the_protocols_methods(people, make_spec):
    clean, cloaked = people("clean", 4, 10), people("cloaked", 4, 10, suffix="_cloaked", shift=0.8)
    ready = [Colour(), OnnxExtractor(read_spec(make_spec()))]
    report = ask(clean, {"c": cloaked}, extractors=ready, protocol="facecure-2021")
    assert [cell.extractor for cell in report.cells] == ["colour", "blocks"]
    assert [counts(cell) for cell in report.cells] == [literal(clean, cloaked, colour), literal(clean, cloaked, blocks)]
    assert report.environment.extractors[0] == Colour.what_ran
    assert not any("colour" in warning for warning in report.warnings)


def test_the_seed_decides_the_splits_and_nothing_else_does(scene, make_spec, tmp_path):
    scene(0.45, noise=90.0, repeats=1)
    folders = tmp_path / "clean", {"cloak": tmp_path / "cloaked"}

    def run(**options) -> str:
        return cells(ask(*folders, extractors=[make_spec()], repeats=2, **options))

    first = run(seed=1)
    for options in (
        {},
        {"execution": Execution(threads=1)},
        {"store": tmp_path / "kept"},
        {"store": tmp_path / "kept"},
    ):
        assert run(seed=1, **options) == first
    assert run(seed=2) != first


@pytest.mark.parametrize("threads", [1, 2])
def test_progress_goes_through_the_stages_to_the_end(scene, threads):
    calls = []
    scene(identities=2, repeats=3, execution=Execution(threads=threads, progress=lambda *call: calls.append(call)))
    assert {stage: (done, total) for stage, done, total in calls} == {
        "faces and embeddings": (40, 40),
        "identification": (3, 3),
    }


# the ArcFace template; a 96×112 input is its columns 8…103
TEMPLATE = [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
REGIONS = {(112, 112): "", (96, 112): "region = [8, 0, 104, 112]\n"}


def real_specs(models: list[Path], folder: Path) -> list[Path]:
    """Write a spec for each model that takes a 112 template, smallest file first; pixels as 0…255 around 0."""
    specs = []
    for file in sorted(models, key=lambda file: file.stat().st_size):
        graph = onnx.load(file, load_external_data=False).graph
        sides = [[d.dim_value for d in v.type.tensor_type.shape.dim] for v in (graph.input[0], graph.output[0])]
        size = (sides[0][3], sides[0][2])
        if size in REGIONS:
            specs.append(folder / f"{file.stem}.toml")
            specs[-1].write_text(
                f'name = "{file.stem}"\nweights = "{file.resolve()}"\n'
                f"input = {{ width = {size[0]}, height = {size[1]}, mean = {[127.5] * 3}, std = {[128] * 3} }}\n"
                f"embedding = {{ size = {sides[1][1]} }}\n"
                f'[face]\nmode = "align"\ncanvas = [112, 112]\ntemplate = {TEMPLATE}\n{REGIONS[size]}'
            )
    return specs


@pytest.mark.shared
@pytest.mark.slow
def test_real_cloaks_protect_real_people(assets, tmp_path):
    folders = [folder for folder in sorted((assets / "facescrub").iterdir()) if folder.is_dir()]
    is_cloak = lambda f: any(p.stem.endswith(("_cloaked", "_attacked")) for p in f.glob("*/*"))  # noqa: E731
    cloaks = {folder.name: folder for folder in folders if is_cloak(folder)}
    detector = next((assets / "models").glob("*yunet*.onnx"), None)
    specs = real_specs([f for f in (assets / "models").glob("*.onnx") if f != detector], tmp_path)[:2]
    if not cloaks or detector is None or len(specs) < 2:
        pytest.skip(f"{assets} holds no cloaks, no detector or fewer than two models of a known input size")
    report = ask(
        assets / "facescrub" / "original", cloaks, extractors=specs, detector=detector, store=tmp_path / "kept"
    )
    assert len(report.cells) == len(cloaks) * len(specs)
    assert all(cell.probes > 0 for cell in report.cells)
    assert any(cell.protection_rate > cell.clean_error for cell in report.cells)
    kinds = {entry.reason.split(":")[0] for entry in report.excluded}
    assert kinds <= {"unpaired", "no face", "duplicate", "unreadable"}
    found = sum(count.found for count in report.pictures.values())
    used = sum(count.pictures for count in report.pictures.values())
    dropped = {entry.path for entry in report.excluded if not entry.reason.startswith("unpaired: no ")}
    assert found - used <= len(dropped), "every picture that takes no part is listed"

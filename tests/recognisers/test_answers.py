"""Answers are found again where the same is asked, and only there; a recogniser from outside is one more name."""

from __future__ import annotations

import shutil
import sys
from collections import Counter
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from facecure.commands.study import run_study
from facecure.embeddings.table import EmbeddingTable
from facecure.errors import DigestMismatch, InputError
from facecure.extractors.runtimes.onnx import OnnxExtractor
from facecure.extractors.spec import read_spec
from facecure.pictures import load
from facecure.recognisers.nearest import NearestNeighbour
from facecure.recognisers.recogniser import Context, Facts, Recogniser, Training
from facecure.recognisers.registry import RECOGNISERS, find_recogniser
from facecure.report.markdown import markdown
from facecure.study import PictureSources, Study
from facecure.types import Embeddings, Outcome

Q = {"protocol": "corrected", "repeats": 2}


@pytest.fixture
def scene(people):
    return people("clean", 4, 8, noise=90.0), people("cloaked", 4, 8, suffix="_cloaked", noise=90.0, shift=0.4)


@pytest.fixture
def asked(monkeypatch):
    """Count the splits that 1-NN identifies, by its extractor."""
    counts: Counter[str] = Counter()
    real = NearestNeighbour.__call__

    def counted(self, split):
        counts[self._embeddings.extractor] += 1
        return real(self, split)

    monkeypatch.setattr(NearestNeighbour, "__call__", counted)
    return counts


def run(scene, extractors, store, **asked):
    study = Study(pictures=PictureSources.of(scene[0], {"c": scene[1]}), extractors=extractors, **Q | asked)
    return run_study(study, store=store)


def test_one_extractor_more_identifies_only_that_one(scene, make_spec, tmp_path, asked):
    specs = [make_spec("one"), make_spec("two", **{"mean = [127.5, ": "mean = [120.0, "})]
    more = make_spec("more", **{"mean = [127.5, ": "mean = [110.0, "})
    first = run(scene, specs, tmp_path / "store")
    assert sorted(asked.values()) == [2, 2]
    asked.clear()
    both = run(scene, [*specs, more], tmp_path / "store")
    assert list(asked.values()) == [2]
    assert [cell for cell in both.cells if cell.extractor != "more"] == list(first.cells)
    assert [facts["found_again"] for facts in both.environment.recognisers.values()] == [True, True, False]
    asked.clear()
    assert run(scene, [*specs, more], tmp_path / "store").cells == both.cells
    assert not asked


def darker(scene) -> None:
    file = scene[0] / "person_00" / "photo_000.png"
    Image.fromarray((np.asarray(Image.open(file)) * 0.7).astype(np.uint8)).save(file)


CHANGES = {
    "a picture": (darker, {}),
    "a picture less": (lambda scene: (scene[1] / "person_01" / "photo_003_cloaked.png").unlink(), {}),
    "the seed": (None, {"seed": 1}),
    "the protocol": (None, {"protocol": "facecure-2021"}),
    "the number of splits": (None, {"repeats": 3}),
}


@pytest.mark.parametrize("what", CHANGES)
def test_what_changes_the_answer_is_computed_again(scene, make_spec, tmp_path, asked, what):
    change, values = CHANGES[what]
    run(scene, [make_spec()], tmp_path / "store")
    asked.clear()
    if change:
        change(scene)
    again = run(scene, [make_spec()], tmp_path / "store", **values)
    assert asked
    assert again.cells == run(scene, [make_spec()], None, **values).cells


def test_a_moved_folder_is_the_same_question(scene, make_spec, tmp_path, asked):
    run(scene, [make_spec()], tmp_path / "store")
    asked.clear()
    shutil.copytree(scene[0], tmp_path / "elsewhere")
    run((tmp_path / "elsewhere", scene[1]), [make_spec()], tmp_path / "store")
    assert not asked


@pytest.mark.parametrize("damage", [lambda data: data[:-9], lambda data: b"", lambda data: data + b" "])
def test_damaged_answers_are_named_and_computed_again(scene, make_spec, tmp_path, asked, damage):
    expected = run(scene, [make_spec()], tmp_path / "store").cells
    (file,) = (tmp_path / "store" / "outcomes").glob("*/outcomes.json")
    whole = file.read_bytes()
    file.write_bytes(damage(whole))
    asked.clear()
    again = run(scene, [make_spec()], tmp_path / "store")
    assert again.cells == expected
    assert asked
    assert any(str(file) in warning for warning in again.warnings)
    assert file.read_bytes() == whole


def test_the_linear_recogniser_tells_how_its_kept_fits_ended(scene, make_spec, tmp_path):
    pytest.importorskip("torch")
    reports = [run(scene, [make_spec()], tmp_path / "store", recogniser="linear") for _ in range(2)]
    first, again = (dict(report.environment.recognisers["blocks"]) for report in reports)
    assert first.pop("found_again") is False
    assert again.pop("found_again") is True
    assert first == again
    assert first["fits"] == 16
    assert reports[0].cells == reports[1].cells


def test_end_to_end_embeds_nothing_and_decodes_once(scene, tmp_path, monkeypatch):
    pytest.importorskip("torch")
    from facecure.extractors.packaged import packaged_specs, packaged_surrogate
    from facecure.extractors.runtimes import open_extractor
    from facecure.extractors.runtimes.torch import TorchExtractor

    monkeypatch.setattr(TorchExtractor, "embed", lambda self, faces: pytest.fail("embedded"))
    decoded = []
    real = load.decode
    monkeypatch.setattr(load, "decode", lambda data, *rest: decoded.append(data) or real(data, *rest))
    (spec,) = [packaged_surrogate(spec) for spec in packaged_specs() if spec.stem == "plain"]
    training = Training(epochs=1, steps=1, batch=4)
    asked = {"recogniser": "end-to-end", "training": training, "repeats": 1}
    report = run(scene, [open_extractor(spec)], tmp_path / "store", **asked)
    assert len(decoded) == len(set(decoded)) == 64
    assert report.cells[0].protection.n == 8
    assert report.environment.recognisers[spec.name]["trainings"] == 5  # one per person, and everybody clean


@pytest.mark.parametrize("recogniser", ["linear", "end-to-end"])
def test_who_cannot_be_told_apart_is_refused_before_any_work(scene, make_spec, people, monkeypatch, recogniser):
    pytest.importorskip("torch")
    monkeypatch.setattr(OnnxExtractor, "embed", lambda self, faces: pytest.fail("embedded before the check"))
    pictures = PictureSources.of(scene[0], {"c": scene[1]}, {}, [people("others", 1, 1, names="stranger_{:02d}")])
    with pytest.raises(InputError, match=f"{recogniser} needs several pictures .*no distractors"):
        run_study(Study(pictures=pictures, extractors=[make_spec()], recogniser=recogniser))


class Everybody(Recogniser):
    """A recogniser from outside: everybody is identified, always."""

    name = "everybody"
    words = "a guess"

    @classmethod
    def of(cls, context: Context) -> Everybody:
        return cls()

    @property
    def facts(self) -> Facts:
        return Facts(self.name, self.words)

    def __call__(self, split):
        return {
            cloak: [Outcome(p.identity, len(p.probes), len(p.probes), enrolled=len(p.cloaked)) for p in group]
            for cloak, group in split.protected.items()
        }


def test_a_recogniser_from_outside_is_a_line_in_the_registry(scene, make_spec, monkeypatch):
    outside = ModuleType("outside")
    outside.Everybody = Everybody
    monkeypatch.setitem(sys.modules, "outside", outside)
    monkeypatch.setitem(RECOGNISERS, "everybody", "outside:Everybody")
    report = run(scene, [make_spec()], None, recogniser="everybody")
    (cell,) = report.cells
    assert (cell.recogniser, cell.protection_rate) == ("everybody", 0)
    assert "a guess" in markdown(report)


@pytest.mark.parametrize("name", RECOGNISERS)
def test_every_recogniser_has_the_name_it_is_asked_for(name):
    pytest.importorskip("torch")
    assert find_recogniser(name).name == name


def test_a_table_without_the_extractors_embeddings_is_refused(make_spec):
    other = Embeddings(np.zeros((1, 2), np.float32), "another")
    table = EmbeddingTable((), (), (), (), (other,), (), (), (), {})
    with pytest.raises(DigestMismatch, match="no embeddings of the extractor"):
        NearestNeighbour.of(Context(table, OnnxExtractor(read_spec(make_spec()))))

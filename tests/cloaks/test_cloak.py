"""A cloak from outside of the package: one file, one line in the registry, nothing else."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("torch")

import facecure as fc
from facecure.cloaks.registry import CLOAKS
from facecure.extractors.packaged import packaged_specs, packaged_surrogate
from facecure.pictures.synthetic import make_person, render

FILE = '''
from dataclasses import dataclass

import torch

from facecure.cloaks.cloak import Cloak, Objective
from facecure.cloaks.surrogate import unit


@dataclass
class State:
    iteration: int
    pictures: torch.Tensor
    references: list
    grids: list


def moved(embeddings, references):
    return (unit(embeddings) - references).square().sum(1)


class Sign(Cloak[State]):
    """Gradient ascent by its signs."""

    iterations = 3

    def start(self, sources):
        pictures = sources.pictures + sources.noise(1.0, sources.pictures)
        seen = zip(self.surrogates, sources.grids, strict=True)
        return State(0, pictures, [unit(s.embed(sources.pictures, grid)) for s, grid in seen], sources.grids)

    def objective(self, state):
        seen = zip(self.surrogates, state.references, state.grids, strict=True)
        parts = [s.loss_and_grad(state.pictures, reference, moved, grid) for s, reference, grid in seen]
        values, gradients = (sum(column) for column in zip(*parts, strict=True))
        return Objective(-values, values, torch.zeros_like(values), [gradients])

    def update(self, state, objective, better):
        state.pictures += objective.gradients[0].sign()

    def finish(self, state):
        return state.pictures.clamp(0, 255)
'''


@pytest.fixture
def sign(tmp_path, monkeypatch):
    (tmp_path / "sign_of_somebody.py").write_text(FILE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(CLOAKS, "sign", "sign_of_somebody:Sign")
    yield "sign"
    del sys.modules["sign_of_somebody"]


SURROGATES = [packaged_surrogate(packaged_specs()[0])]


def test_it_cloaks_arrays(sign):
    faces = np.stack([render(make_person(number), 0, 112).pixels for number in range(3)])
    cloaked = fc.cloak_faces(faces, sign, SURROGATES)
    delta = np.abs(cloaked.astype(int) - faces)
    assert 1 <= delta.max() <= 4
    np.testing.assert_array_equal(fc.cloak_faces(faces[1:2], sign, SURROGATES), cloaked[1:2])


def test_it_cloaks_folders_also_in_a_mix_and_its_pictures_are_evaluated(sign, tmp_path):
    for number in range(3):
        (tmp_path / "photos" / f"person_{number}").mkdir(parents=True)
        for k in range(3):
            picture = Image.fromarray(render(make_person(number), k, 80).pixels)
            picture.save(tmp_path / "photos" / f"person_{number}" / f"{k}.png")
    run = fc.cloak(tmp_path / "photos", sign, surrogates=SURROGATES, out=tmp_path / "out")
    assert run.written == 9
    assert (tmp_path / "out" / "cloaked" / "person_0" / "0_cloaked.png").exists()
    assert json.loads((tmp_path / "out" / "cloak.json").read_text())["cloak"] == [
        {"name": "sign", "share": 1.0, "iterations": 3, "protocol": "corrected"}
    ]
    mixed = fc.cloak(
        tmp_path / "photos", f"mix:{sign}=1,fawkes-v1.0:low-2021-04-21=1", surrogates=SURROGATES, out=tmp_path / "mix"
    )
    assert {row["cloak"] for row in mixed.rows} == {sign, "fawkes-v1.0:low-2021-04-21"}
    for source in ("out/manifest.csv", "out/cloaked"):
        report = fc.evaluate(tmp_path / "photos", {sign: tmp_path / source}, extractors=packaged_specs()[:1])
        assert report.cells[0].white_box is not None

"""`cloak_faces`: arrays in, arrays out, as the folder command does it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("torch")

import facecure as fc
from facecure.cloaks.apply.batch import seed_of
from facecure.errors import InputError
from facecure.extractors.packaged import packaged_specs, packaged_surrogate
from facecure.pictures.synthetic import make_person, render
from facecure.types import FaceGeometry

LOW, AIMED = "fawkes-v1.0:low", "fawkes-v0.3:min"
SURROGATES = [packaged_surrogate(file) for file in packaged_specs()[:2]]
TEMPLATE = ((38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041))
ALIGNING = replace(SURROGATES[0], geometry=FaceGeometry(64, 64, "align", canvas=(112.0, 112.0), template=TEMPLATE))
PORTRAITS = [render(make_person(number), 0, 112) for number in range(5)]
FACES, LANDMARKS = (np.stack([getattr(p, what) for p in PORTRAITS]) for what in ("pixels", "landmarks"))
BARE = fc.CloakOptions(lpips="none")


@pytest.mark.parametrize("protocol", ["corrected", "facecure-2021"])
def test_faces_are_cloaked_as_in_a_folder(tmp_path, protocol):
    for number, face in enumerate(FACES[:2]):
        (tmp_path / "photos" / str(number)).mkdir(parents=True)
        Image.fromarray(face).save(tmp_path / "photos" / str(number) / "x.png")
    given = {"surrogates": SURROGATES, "options": fc.CloakOptions(protocol, seed=7)}
    run = fc.cloak(tmp_path / "photos", LOW, out=tmp_path / "out", **given)
    clean, cloaked = (
        np.stack([np.array(Image.open(run.folder / row[column])) for row in run.rows]) for column in ("clean", "path")
    )
    seeds = [seed_of(7, "start", row["source_sha256"], "") for row in run.rows]
    np.testing.assert_array_equal(fc.cloak_faces(clean, LOW, seeds=seeds, **given), cloaked)


@pytest.mark.slow
@pytest.mark.parametrize("name", [LOW, "lowkey"])
@pytest.mark.parametrize("batch", [1, 2, 3])
def test_a_face_does_not_depend_on_the_others(name, batch):
    together = fc.cloak_faces(FACES, name, SURROGATES, options=BARE)
    apart = fc.cloak_faces(FACES[::-1], name, SURROGATES, options=BARE, execution=fc.Execution(batch=batch))
    np.testing.assert_array_equal(apart[::-1], together)
    assert together.shape == FACES.shape
    assert together.dtype == np.uint8
    assert (np.abs(together.astype(int) - FACES).max((1, 2, 3)) > 0).all()


def test_seeds_are_arguments():
    first, second, again = (
        fc.cloak_faces(FACES[:1], "lowkey", SURROGATES[:1], options=BARE, seeds=[seed]) for seed in (1, 2, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != second).any()
    other = fc.cloak_faces(FACES[:1], "lowkey", SURROGATES[:1], options=replace(BARE, seed=1))
    assert (other != fc.cloak_faces(FACES[:1], "lowkey", SURROGATES[:1], options=BARE)).any()


def test_a_cloak_that_aims_needs_a_target_for_each_face():
    faces = FACES.repeat(2, axis=1).repeat(2, axis=2)[:3]
    towards, elsewhere = (fc.cloak_faces(faces, AIMED, SURROGATES[:1], targets=faces[[a, 2, 0]]) for a in (1, 2))
    np.testing.assert_array_equal(towards[1:], elsewhere[1:])
    assert (towards[0] != elsewhere[0]).any()
    for targets in (None, faces[:2]):
        with pytest.raises(InputError, match="one for each"):
            fc.cloak_faces(faces, AIMED, SURROGATES[:1], targets=targets)


def test_landmarks_show_surrogates_the_face_aligned():
    moved = LANDMARKS + np.array([3.0, -2])
    here, there = (fc.cloak_faces(FACES[:2], LOW, [ALIGNING], landmarks=p[:2]) for p in (LANDMARKS, moved))
    assert (here != there).any()
    with pytest.raises(InputError, match=r"landmarks of pixels must be float64 \(2, 5, 2\)"):
        fc.cloak_faces(FACES[:2], LOW, [ALIGNING])
    released = fc.CloakOptions("facecure-2021")
    assert fc.cloak_faces(FACES[:1], LOW, [ALIGNING], options=released).shape == (1, 112, 112, 3)


def test_nobody_is_an_empty_array():
    assert fc.cloak_faces(FACES[:0], LOW, SURROGATES[:1]).shape == (0, 112, 112, 3)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"pixels": FACES.astype(np.float32)}, "uint8"), ({"pixels": FACES[:, :100]}, r"uint8 \(N, 112, 112, 3\)"),
        ({"pixels": FACES[0]}, "uint8"), ({"seeds": [1]}, "one per face, 5"), ({"surrogates": []}, "surrogate"),
        ({"name": "mix:lowkey=1,lowkey-4=1"}, "name one cloak"), ({"name": "lowkye"}, "did you mean 'lowkey'"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_said(given, says):
    with pytest.raises(InputError, match=says):
        fc.cloak_faces(**{"pixels": FACES, "name": LOW, "surrogates": SURROGATES[:1]} | given)

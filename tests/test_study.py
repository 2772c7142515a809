"""A study is data: checked once, the same from Python, options and a file, with a digest per question."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path

import pytest

from facecure.errors import InputError
from facecure.extractors.thumbnail import Thumbnail
from facecure.protocols.rules import PROTOCOLS
from facecure.recognisers.recogniser import Training
from facecure.study import PictureSources, Study

SOURCES = PictureSources.of("clean", {"a": "one", "b": "two"}, {"b": "small"}, ["others"])
STUDY = Study(pictures=SOURCES, extractors=["x.toml", Path("y.toml")])


OTHER = {
    "extractors": ["x.toml"],
    "recogniser": "linear",
    "scenario": "oblivious",
    "protocol": "facecure-2021",
    "repeats": 3,
    "seed": 1,
    "training": Training(epochs=1),
    "detector": "yunet",
    "pictures": replace(SOURCES, distractors=()),
}


@pytest.mark.parametrize("change", OTHER)
def test_every_field_is_in_the_digest_and_survives_plain_values(change):
    assert OTHER.keys() == {each.name for each in fields(Study)}
    other = replace(STUDY, **{change: OTHER[change]})
    assert other.digest != STUDY.digest
    again = Study.of(json.loads(json.dumps(other.values())))
    assert (again.values(), again.digest) == (other.values(), other.digest)
    assert list(again.cells()) == list(other.cells())


def test_defaults_may_be_left_out():
    pictures = {"clean": "clean", "cloaked": {"a": "one"}}
    study = Study.of({"pictures": pictures, "extractors": ["x"]})
    assert (study.recogniser, study.scenario, study.protocol, study.seed) == ("nn", "baseline", "corrected", 0)
    assert study.splits == PROTOCOLS["corrected"].repeats == 10


def test_digests_know_no_order_of_names():
    turned = replace(SOURCES, cloaked={"b": Path("two"), "a": Path("one")})
    assert replace(STUDY, pictures=turned).digest == STUDY.digest


def test_a_cell_is_the_same_question_whatever_else_is_asked():
    cells = {(cell.cloak, cell.extractor): cell.digest for cell in STUDY.cells()}
    assert list(cells) == [("a", "x.toml"), ("a", "y.toml"), ("b", "x.toml"), ("b", "y.toml")]
    assert len(set(cells.values())) == 4
    more = replace(
        STUDY,
        extractors=["z.toml", *STUDY.extractors],
        pictures=replace(SOURCES, cloaked={**SOURCES.cloaked, "c": Path("three")}),
    )
    assert cells.items() <= {(cell.cloak, cell.extractor): cell.digest for cell in more.cells()}.items()
    seeds = {(cell.cloak, cell.extractor): cell.digest for cell in replace(STUDY, seed=1).cells()}
    assert not set(seeds.values()) & set(cells.values())


@pytest.mark.parametrize(("repeats", "protocol", "splits", "warned"), [
    (None, "corrected", 10, False), (3, "corrected", 3, False), (None, "facecure-2021", 1, False),
    (1, "facecure-2021", 1, False), (3, "facecure-2021", 1, True),
])  # fmt: skip
def test_a_protocol_may_have_one_split_only(repeats, protocol, splits, warned):
    study = replace(STUDY, repeats=repeats, protocol=protocol)
    assert study.splits == splits
    assert bool(study.warnings) == warned


@pytest.mark.parametrize(("values", "says"), [
    ({"protocol": "facecure-2022"}, "unknown protocol 'facecure-2022'; did you mean 'facecure-2021'"),
    ({"recogniser": "lineal"}, "unknown recogniser 'lineal'; did you mean 'linear'"),
    ({"scenario": "adaptiv"}, "unknown scenario 'adaptiv'; did you mean 'adaptive'"),
    ({"extractors": []}, "at least one extractor"),
    ({"repeats": 0}, "repeats must be 1 or more"),
    ({"extractor": ["x"]}, "unknown key of a study 'extractor'; did you mean 'extractors'"),
    ({"training": {"epoch": 1}}, "unknown key of its training 'epoch'; did you mean 'epochs'"),
    ({"pictures": {"clean": "x", "cloacked": {}}}, "unknown key of its pictures 'cloacked'; did you mean 'cloaked'"),
    ({"pictures": {"clean": "x"}}, "names pictures"),
    ({"pictures": {"clean": "x", "cloaked": {}}}, "at least one cloak"),
    ({"pictures": {"clean": "x", "cloaked": {"a": "y"}, "unprotected": {"b": "z"}}}, "unprotected has 'b'"),
])  # fmt: skip
def test_what_cannot_be_asked_is_an_error(values, says):
    with pytest.raises(InputError, match=says):
        Study.of(STUDY.values() | values)


def test_an_object_can_be_asked_but_not_written_down():
    study = replace(STUDY, extractors=[Thumbnail()])
    assert study.digest != STUDY.digest
    with pytest.raises(InputError, match="picture thumbnail is an object"):
        study.values()

"""Outcomes become a cell: sums by hand, and who has no rate and why."""

from __future__ import annotations

from pathlib import Path

from facecure.protocols.gallery import Others
from facecure.report.model import CellKey, Rate, RevealedBy, Unmeasured
from facecure.report.statistics import bootstrap
from facecure.report.summary import summarise
from facecure.types import Outcome, Sample

KEY = CellKey(cloak="fawkes", extractor="arcface", protocol="corrected", year=2018, white_box=True)
SAMPLES = [
    *(Sample(name, Path(f"clean/{name}/{i}.png"), str(i)) for name in ("Ann", "Bob", "Cid", "Dan") for i in range(3)),
    *(Sample("Ann", Path(f"cloaked/Ann/{i}.png"), str(i), "cloaked", "fawkes") for i in range(3)),
]
SPLITS = [
    [
        Outcome("Ann", 2, 1, 2, 3, 1, 8, 1, ((12, 1, 1),), (0, 1), (0,)),
        Outcome("Bob", 1, 0, 1, 2, 2, 9, 0, (), (3,), ()),
        Outcome("Cid", 0, 0, 0, 4, 4, 0, 0),
    ],
    [
        Outcome("Ann", 2, 2, 1, 3, 2, 8, 3, ((12, 1, 0), (13, 2, 1)), (1, 2), (1, 2)),
        Outcome("Bob", 1, 0, 1, 0, 0, 9, 0, (), (4,), ()),  # no cloaked gallery: not of this split
    ],
]


def cell(**options):
    return summarise(SPLITS, SAMPLES, KEY, **({"named": {"Ann", "Bob"}, "seed": 3} | options))


def test_counts_are_summed_per_person_and_per_split():
    found = cell()
    ann, bob = found.identities
    assert (ann.identity, ann.protection, ann.clean, ann.enrolled, ann.control) == (
        "Ann", Rate(1, 4), Rate(1, 4), Rate(3, 6), Rate(4, 16)
    )  # fmt: skip
    assert (bob.identity, bob.protection, bob.clean, bob.enrolled, bob.control) == (
        "Bob", Rate(1, 1), Rate(0, 1), Rate(0, 2), Rate(0, 9)
    )  # fmt: skip
    assert found.splits == (Rate(2, 3), Rate(0, 2))
    assert (found.protection, found.control_error) == (Rate(2, 5), (4 / 16 + 0) / 2)
    assert found.bootstrap == bootstrap([(1, 4), (1, 1)], 3)


def test_pictures_that_reveal_come_by_what_they_alone_reveal():
    assert cell().identities[0].revealed_by == (
        RevealedBy("cloaked/Ann/1.png", 2, 1), RevealedBy("cloaked/Ann/0.png", 2, 1)
    )[::-1]  # fmt: skip  # at equal counts by row


def test_a_probe_of_several_splits_is_one_by_name_or_by_content():
    assert cell().distinct_probes == 4  # Ann's 0, 1, 2 and Bob's
    assert cell(contents=["same"] * len(SAMPLES)).distinct_probes == 2  # one content of two people
    assert cell(contents=[str(row) for row in range(len(SAMPLES))]).distinct_probes == 4


def test_who_was_never_named_is_not_missed():
    assert cell().unmeasured == ()
    assert cell(named={"Ann", "Bob", "Cid", "Dan", "Eve"}).unmeasured == (
        Unmeasured("Cid", "no probe: too few usable pictures for the split"),
        Unmeasured("Dan", "no usable cloaked picture"),
        Unmeasured("Eve", "no usable clean picture"),
    )
    without_gallery = [[split[1]] for split in SPLITS[1:]]
    assert summarise(without_gallery, SAMPLES, KEY, named={"Bob"}, seed=0).unmeasured == (
        Unmeasured("Bob", "no cloaked picture in the gallery half of the split"),
    )


def test_the_key_and_what_stood_beside_are_in_the_cell():
    found = cell(others=Others(4, 17, 0.25), uncloaked=["x.png"])
    assert {name: getattr(found, name) for name in CellKey.__dataclass_fields__} == {
        "cloak": "fawkes", "extractor": "arcface", "protocol": "corrected", "recogniser": "nn", "scenario": "baseline",
        "year": 2018, "white_box": True,
    }  # fmt: skip
    assert (found.other_people, found.other_pictures, found.chance, found.uncloaked) == (4, 17, 0.25, ("x.png",))
    assert (cell().other_people, cell().chance) == (0, None)

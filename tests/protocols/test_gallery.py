"""Who else is enrolled is counted as the definition says, and nobody alone is measured."""

from __future__ import annotations

from pathlib import Path

import pytest

from facecure.errors import InputError
from facecure.protocols.gallery import Others, check_others, few_others, others
from facecure.protocols.split import make_split
from facecure.types import Exclusion, Sample


def pictures(name: str, count: int, role: str = "clean", cloak: str = "") -> list[Sample]:
    return [Sample(name, Path(role, name, f"{k:02}.png"), f"{k:02}", role, cloak) for k in range(count)]


@pytest.mark.parametrize("protocol", ["corrected", "facecure-2021"])
def test_others_are_those_who_are_not_the_protected_person(protocol):
    # of ten pictures seven are enrolled, of five four, of one it; distractors are as they are
    samples = [*pictures("Ann", 10), *pictures("Bob", 5), *pictures("Cid", 1), *pictures("Ann", 10, "cloaked", "x")]
    samples += [*pictures("Dan", 3, "distractor"), *pictures("Eve", 1, "distractor")]
    splits = [make_split(samples, ["x"], protocol, 0, repeat) for repeat in range(3)]
    found = others(splits, samples, "x")
    assert (found.people, found.pictures) == (4, 4 + 1 + 3 + 1)
    assert found.chance == pytest.approx(7 / (7 + 9))  # of rows; of people it would be 1 / 5


@pytest.mark.parametrize(("strangers", "chance"), [(1, 1 / 2), (3, 1 / 4), (9, 1 / 10), (19, 1 / 20)])
def test_chance_is_that_of_people_where_it_is_the_larger_one(strangers, chance):
    samples = [*pictures("Ann", 10), *pictures("Ann", 10, "cloaked", "x")]
    for i in range(strangers):
        samples += pictures(f"s{i}", 300, "distractor")
    beside = others([make_split(samples, ["x"], "corrected", 0, 0)], samples, "x")
    assert beside.chance == pytest.approx(chance)
    assert bool(few_others("x", beside)) == (chance > 0.1)


def test_the_fewest_over_people_are_told():
    samples = [*pictures("Ann", 10), *pictures("Bob", 20)]
    samples += [*pictures("Ann", 10, "cloaked", "x"), *pictures("Bob", 20, "cloaked", "x")]
    found = others([make_split(samples, ["x"], "corrected", 0, 0)], samples, "x")
    assert found == Others(1, 7, pytest.approx((7 / (7 + 14) + 14 / (14 + 7)) / 2, abs=0.1))
    (warning,) = few_others("x", found)
    assert "x: only 1 other people with 7 pictures" in warning
    assert "distractors" in warning


def test_where_nobody_is_searched_nobody_stands_beside():
    samples = [*pictures("Ann", 1), *pictures("Bob", 5), *pictures("Ann", 1, "cloaked", "x")]
    assert others([make_split(samples, ["x"], "corrected", 0, 0)], samples, "x") is None
    assert few_others("x", None) == []


def test_one_person_alone_is_refused():
    check_others([*pictures("Ann", 1), *pictures("Dan", 1, "distractor")])
    alone = [*pictures("Ann", 9), *pictures("Ann", 9, "cloaked", "x")]
    with pytest.raises(InputError, match=r"nobody but Ann: .*distractors"):
        check_others(alone)
    with pytest.raises(InputError, match=r"nobody but Ann \(1 pictures excluded, \S*d\.jpg: no face: none\)"):
        check_others(alone, [Exclusion(Path("d.jpg"), "no face: none")])
    with pytest.raises(InputError, match="nobody but no one"):
        check_others([])

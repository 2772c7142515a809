"""Splits: the released one to the letter, ours independent of other people."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facecure.protocols.split import hashed_positions, make_split, released_positions
from facecure.types import Sample


def person(name: str, count: int, role: str = "clean", cloak: str = "", skip: tuple[int, ...] = ()) -> list[Sample]:
    suffix = {"clean": ".jpg", "cloaked": "_cloaked.png", "unprotected": "_small.png", "distractor": ".jpg"}[role]
    return [
        Sample(name, Path(role, name, f"{k:03}{suffix}"), f"{k:03}", role, cloak) for k in range(count) if k not in skip
    ]


def keys(samples: list[Sample], rows: np.ndarray) -> list[tuple[str, str, str]]:
    return [(samples[row].role, samples[row].identity, samples[row].key) for row in rows]


@pytest.mark.parametrize(("count", "start"), [(60, [36, 2, 27, 30, 59, 0])])
def test_released_split_starts_as_the_protocol_says(count, start):
    assert random.Random(10).sample(range(count), int(0.3 * count))[: len(start)] == start
    assert released_positions(count, random.Random(10)) >= set(start)


@pytest.mark.shared
def test_released_split_equals_the_golden_traces(golden):
    traces = np.load(golden / "units.npz")
    reseeded = [name for name in traces.files if name.startswith("split/seed10_n")]
    running = sorted(name for name in traces.files if name.startswith("split/seq_"))
    assert reseeded
    assert running
    for name in reseeded:
        assert released_positions(int(name.rsplit("n", 1)[1]), random.Random(10)) == set(traces[name].tolist())
    generator = random.Random(10)
    for name in running:
        assert released_positions(int(name.rsplit("n", 1)[1]), generator) == set(traces[name].tolist())


def test_released_split_runs_over_people_and_restarts_for_the_protected():
    samples = [*person("a", 15), *person("b", 60), *person("c", 112)]
    samples += [*person("b", 60, "cloaked", "x"), *person("c", 112, "cloaked", "x")]
    split = make_split(samples, ["x"], "facecure-2021", seed=99, repeat=3)
    running = random.Random(10)
    for name, count in (("a", 15), ("b", 60), ("c", 112)):
        test = running.sample(range(count), int(0.3 * count))
        found = [key for _, identity, key in keys(samples, split.controls) if identity == name]
        assert found == [f"{k:03}" for k in sorted(test)]
    for protected, count in zip(split.protected["x"], (60, 112), strict=True):
        test = set(random.Random(10).sample(range(count), int(0.3 * count)))
        assert [key for *_, key in keys(samples, protected.probes)] == [f"{k:03}" for k in sorted(test)]
        own = [f"{k:03}" for k in range(count) if k not in test]
        assert keys(samples, protected.cloaked) == [("cloaked", protected.identity, key) for key in own]
        assert keys(samples, protected.clean) == [("clean", protected.identity, key) for key in own]


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("repeat", [0, 9])
def test_adding_a_person_never_moves_anothers_split(seed, repeat):
    few = [*person("b", 20), *person("d", 9), *person("b", 20, "cloaked", "x")]
    many = [*person("a", 31), *few, *person("c", 4), *person("a", 31, "cloaked", "x"), *person("z", 3, "distractor")]
    before, after = (make_split(s, ["x"], "corrected", seed, repeat) for s in (few, many))
    for name in ("b", "d"):
        for role in ("enrolled", "controls"):
            one = [k for k in keys(few, getattr(before, role)) if k[1] == name]
            assert one == [k for k in keys(many, getattr(after, role)) if k[1] == name] != []
    one, other = before.protected["x"][0], after.protected["x"][1]
    assert keys(few, one.probes) == keys(many, other.probes)
    assert keys(few, one.cloaked) == keys(many, other.cloaked)


@pytest.mark.parametrize("count", range(2, 40, 3))
def test_losing_a_picture_moves_at_most_one_other(count):
    names = [f"{k:03}" for k in range(count)]
    whole = {names[p] for p in hashed_positions("a", names, 0, 0)}
    for lost in names:
        left = [name for name in names if name != lost]
        assert len(({left[p] for p in hashed_positions("a", left, 0, 0)} ^ whole) - {lost}) <= 1


@pytest.mark.parametrize(("count", "probes"), [(0, 0), (1, 0), (2, 1), (3, 1), (4, 1), (10, 3), (45, 13), (47, 14)])
def test_three_in_ten_are_probes_and_one_at_least_of_two(count, probes):
    assert len(hashed_positions("a", [str(k) for k in range(count)], 0, 0)) == probes


def test_seeds_repeats_and_people_draw_differently():
    names = [f"{k:03}" for k in range(50)]
    drawn = {
        frozenset(hashed_positions(who, names, seed, repeat)) for who in "ab" for seed in (0, 1) for repeat in range(5)
    }
    assert len(drawn) == 20


def test_all_pictures_are_probes_equally_often():
    names = [f"{k:03}" for k in range(20)]
    hits = np.zeros(20)
    for repeat in range(2000):
        hits[list(hashed_positions("a", names, 0, repeat))] += 1
    # 2,000 draws of 30 %: standard deviation 20.5, five of them on either side
    assert (np.abs(hits - 600) < 103).all()


@pytest.mark.parametrize("protocol", ["corrected", "facecure-2021"])
def test_probes_are_never_enrolled_and_rows_keep_their_order(protocol):
    samples = [*person("b", 12), *person("a", 7), *person("d", 3, "distractor"), *person("c", 2, "distractor")]
    samples += person("b", 12, "cloaked", "x")
    split = make_split(samples, ["x"], protocol, 0, 0)
    assert not set(split.enrolled) & set(split.controls)
    assert sorted([*split.enrolled, *split.controls]) == list(range(19))
    assert keys(samples, split.enrolled) == sorted(keys(samples, split.enrolled), key=lambda k: k[1:])
    assert split.distractors.tolist() == [19, 20, 21, 22, 23]
    assert not {k[2] for k in keys(samples, split.protected["x"][0].cloaked)} & {
        k[2] for k in keys(samples, split.protected["x"][0].probes)
    }


def test_cloaks_with_fewer_pictures_keep_the_same_probes():
    samples = [*person("a", 20), *person("a", 20, "cloaked", "x"), *person("a", 20, "cloaked", "y", skip=(0, 3, 7, 8))]
    split = make_split(samples, ["x", "y"], "corrected", 0, 0)
    whole, part = split.protected["x"][0], split.protected["y"][0]
    np.testing.assert_array_equal(whole.probes, part.probes)
    assert {key for *_, key in keys(samples, part.cloaked)} < {key for *_, key in keys(samples, whole.cloaked)}
    assert [k[2] for k in keys(samples, part.clean)] == [k[2] for k in keys(samples, part.cloaked)]


def test_released_split_pairs_before_it_draws():
    samples = [*person("a", 20), *person("a", 20, "cloaked", "x", skip=(0, 3))]
    protected = make_split(samples, ["x"], "facecure-2021", 0, 0).protected["x"][0]
    left = [f"{k:03}" for k in range(20) if k not in (0, 3)]
    test = sorted(random.Random(10).sample(range(18), int(0.3 * 18)))
    assert [key for *_, key in keys(samples, protected.probes)] == [left[position] for position in test]


@pytest.mark.parametrize("protocol", ["corrected", "facecure-2021"])
def test_unprotected_pictures_are_the_probes_of_their_cloak_only(protocol):
    samples = [*person("a", 10), *person("a", 10, "cloaked", "x"), *person("a", 10, "unprotected", "x")]
    samples += person("a", 10, "cloaked", "y")
    split = make_split(samples, ["x", "y"], protocol, 0, 0)
    roles = {cloak: {k[0] for k in keys(samples, split.protected[cloak][0].probes)} for cloak in ("x", "y")}
    assert roles == {"x": {"unprotected"}, "y": {"clean"}}
    assert {k[0] for k in keys(samples, split.protected["x"][0].clean)} == {"unprotected"}
    assert {k[0] for k in keys(samples, split.enrolled)} == {"clean"}


NAMES = st.sets(st.text(min_size=1, max_size=6), max_size=40)


@given(NAMES.filter(bool), st.text(max_size=4), st.integers(0, 99), st.data())
@settings(max_examples=100, deadline=None)
def test_any_picture_that_leaves_moves_at_most_one_other(names, identity, seed, data):
    def probes(keys: list[str]) -> set[str]:
        return {keys[position] for position in hashed_positions(identity, keys, seed, 0)}

    keys = sorted(names)
    lost = data.draw(st.sampled_from(keys))
    assert len((probes([key for key in keys if key != lost]) ^ probes(keys)) - {lost}) <= 1
    assert probes(keys[::-1]) == probes(keys)  # whatever the order in which they are listed


@given(
    st.dictionaries(st.text("abcdé", min_size=1, max_size=3), st.tuples(NAMES, st.integers(0, 2**40 - 1)), max_size=6),
    st.sampled_from(["corrected", "facecure-2021"]),
    st.integers(0, 9),
)
@settings(max_examples=60, deadline=None)
def test_no_picture_stands_on_both_sides_and_none_is_lost(people, protocol, repeat):
    samples = []
    for name, (stems, cloaked) in people.items():
        ordered = sorted(stems)
        samples += [Sample(name, Path(key), key, "clean", "") for key in ordered]
        samples += [Sample(name, Path(k), k, "cloaked", "x") for i, k in enumerate(ordered) if cloaked >> i & 1]
    split = make_split(samples, ["x"], protocol, 0, repeat)
    clean = [row for row, sample in enumerate(samples) if sample.role == "clean"]
    assert sorted([*split.enrolled, *split.controls]) == clean
    for person in split.protected["x"]:
        enrolled = [key for *_, key in keys(samples, person.cloaked)]
        assert [key for *_, key in keys(samples, person.clean)] == enrolled
        assert not {key for *_, key in keys(samples, person.probes)} & set(enrolled)
        assert {identity for _, identity, _ in keys(samples, [*person.probes, *person.cloaked])} <= {person.identity}

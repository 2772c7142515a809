"""Cloaked pictures pair by exact stem and known suffix; where that leaves doubt they are listed (Q13, Q21, Q23)."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facecure.pictures.manifest import read_sets
from facecure.pictures.pairing import drop_named_cloaks, pair, stripped
from facecure.types import Sample

MODES = ["min", "low", "mid", "high", "ultra", "custom"]


def samples(stems, role="clean", identity="Adam", extension="jpg"):
    return [Sample(identity, Path(role) / identity / f"{stem}.{extension}", stem, role, "c") for stem in stems]


@pytest.mark.parametrize(
    ("stem", "role", "expected"),
    [
        ("x_cloaked", "cloaked", ["x"]),
        *((f"x_{mode}_cloaked", "cloaked", ["x", f"x_{mode}"]) for mode in MODES),
        ("x_attacked", "cloaked", ["x"]),
        ("x_small", "unprotected", ["x"]),
        ("x_small", "cloaked", []),
        ("x_attacked", "unprotected", []),
        ("x_cloaked", "clean", []),
        ("x_cloaked", "distractor", []),
        ("x_max_cloaked", "cloaked", ["x_max"]),
        ("x_CLOAKED", "cloaked", []),
        ("xcloaked", "cloaked", []),
        ("x_cloaked_2", "cloaked", []),
        ("x_cloaked_cloaked", "cloaked", ["x_cloaked"]),
        ("_cloaked", "cloaked", []),
        ("_high_cloaked", "cloaked", ["_high"]),
        ("", "cloaked", []),
    ],
)
def test_known_suffixes_of_the_role_are_removed_once(stem, role, expected):
    assert stripped(stem, role) == expected


PAIRED = {  # name: clean stems, cloaked stems, {cloaked stem: clean stem} of all that pair
    "same_names": ("x y", "x y", {"x": "x", "y": "y"}),
    "fawkes_1.0": ("x y", "x_cloaked y_cloaked", {"x_cloaked": "x", "y_cloaked": "y"}),
    **{f"fawkes_{mode}": ("x", f"x_{mode}_cloaked", {f"x_{mode}_cloaked": "x"}) for mode in MODES},
    "lowkey": ("x", "x_attacked", {"x_attacked": "x"}),
    "q13_common_prefix": ("Adam_12_1 Adam_12_10 Adam_1_1", "Adam_12_10_cloaked", {"Adam_12_10_cloaked": "Adam_12_10"}),
    "q13_first_word": ("Adam Adam_Sandler_12_3", "Adam_Sandler_12_3_cloaked",
                       {"Adam_Sandler_12_3_cloaked": "Adam_Sandler_12_3"}),
    "q21_one_missing": ("a b c d", "a_cloaked c_cloaked d_cloaked",
                        {"a_cloaked": "a", "c_cloaked": "c", "d_cloaked": "d"}),
    "q23_sorted_differently": ("A_1 A_10 A_100 A_2", "A_100_cloaked A_10_cloaked A_1_cloaked A_2_cloaked",
                               {"A_1_cloaked": "A_1", "A_10_cloaked": "A_10", "A_100_cloaked": "A_100",
                                "A_2_cloaked": "A_2"}),
    "clean_name_ends_like_a_mode": ("x_high", "x_high_cloaked", {"x_high_cloaked": "x_high"}),
    "ambiguous": ("x x_high y", "x_high_cloaked y_cloaked", {"y_cloaked": "y"}),
    "two_claimants": ("x y", "x_cloaked x_high_cloaked y_cloaked", {"y_cloaked": "y"}),
    "originals_beside": ("x y", "x x_cloaked y y_cloaked", {"x_cloaked": "x", "y_cloaked": "y"}),
    "lowkey_folder": ("x y", "x x_small x_attacked y y_small y_attacked", {"x_attacked": "x", "y_attacked": "y"}),
    "uncloaked_among_suffixed": ("x y", "x_cloaked y", {"x_cloaked": "x"}),
    "other_tool": ("x", "x_fawkes", {}),
    "unknown_mode": ("x", "x_max_cloaked", {}),
    "other_case": ("x", "X_cloaked", {}),
    "no_clean_one": ("x", "z_cloaked", {}),
    "nothing_clean": ("", "x_cloaked", {}),
    "nothing_cloaked": ("x", "", {}),
}  # fmt: skip


@pytest.mark.parametrize("turn", [1, -1], ids=["forward", "backward"])
@pytest.mark.parametrize(("clean", "cloaked", "expected"), PAIRED.values(), ids=PAIRED)
def test_each_cloaked_picture_gets_its_own_clean_one_or_is_listed(clean, cloaked, expected, turn):
    others = samples(cloaked.split(), "cloaked")[::turn]
    paired, excluded = pair(samples(clean.split()), others)
    assert {s.path.stem: s.key for s in paired} == expected
    assert len(paired) == len(expected)
    assert {e.path for e in excluded} == {s.path for s in others} - {s.path for s in paired}
    assert all(e.reason.startswith("unpaired: ") for e in excluded)
    assert all((s.role, s.cloak, s.identity) == ("cloaked", "c", "Adam") for s in paired)


@pytest.mark.parametrize(
    ("stems", "expected"),
    [
        ("x y", {"x": "x", "y": "y"}),
        ("x_small y_small", {"x_small": "x", "y_small": "y"}),
        ("x x_small x_attacked y y_small", {"x_small": "x", "y_small": "y"}),
        ("x_attacked", {}),
    ],
)
def test_unprotected_pictures_pair_by_small(stems, expected):
    paired, excluded = pair(samples(["x", "y"]), samples(stems.split(), "unprotected"))
    assert {s.path.stem: s.key for s in paired} == expected
    assert len(excluded) == len(stems.split()) - len(expected)


@pytest.mark.parametrize(("role", "stem"), [("cloaked", "x._attacked"), ("unprotected", "x._small")])
def test_lowkeys_names_for_jpeg_extensions_pair(role, stem):
    """LowKey drops four characters of a path, so `x.jpeg` becomes `x._attacked.png` (Q21)."""
    paired, excluded = pair(samples(["x", "y"], extension="jpeg"), samples([stem], role))
    assert [(s.path.stem, s.key) for s in paired] == [(stem, "x")]
    assert excluded == []


def test_identities_do_not_mix():
    clean = samples(["1", "2"], identity="Adam") + samples(["1", "3"], identity="Bea")
    others = samples(["1_cloaked", "3_cloaked"], "cloaked", "Adam") + samples(["1", "3"], "cloaked", "Bea")
    paired, excluded = pair(clean, others)
    assert [(s.identity, s.key) for s in paired] == [("Adam", "1"), ("Bea", "1"), ("Bea", "3")]
    assert [(e.path.parent.name, e.path.stem) for e in excluded] == [("Adam", "3_cloaked")]


def test_reasons_name_the_doubt():
    clean = samples(["x", "x_high", "y"])
    others = samples(["x_high_cloaked"], "cloaked") + samples(["y_cloaked"], "cloaked", extension="png")
    others += samples(["y_cloaked"], "cloaked", extension="webp")
    reasons = {e.path.name: e.reason for e in pair(clean, others)[1]}
    assert "'x' or 'x_high'" in reasons["x_high_cloaked.jpg"]
    assert "y_cloaked.png, y_cloaked.webp all claim 'y'" in reasons["y_cloaked.png"]
    assert reasons["y_cloaked.png"] == reasons["y_cloaked.webp"]


@pytest.mark.parametrize(
    ("stems", "kept"),
    [
        ("x y", "x y"),
        ("x x_cloaked x_high_cloaked x_attacked x_small y", "x y"),
        ("x x._attacked x._small", "x"),  # LowKey beside x.jpeg
        ("x_high x_high_cloaked", "x_high"),
        ("x y_small", "x y_small"),
        ("x x_2 x_cloakedly", "x x_2 x_cloakedly"),
    ],
)
def test_cloaks_in_the_clean_folder_are_not_clean(stems, kept):
    everything = samples(stems.split())
    clean, excluded = drop_named_cloaks(everything)
    assert [s.key for s in clean] == kept.split()
    assert sorted(e.path.stem for e in excluded) == sorted(set(stems.split()) - set(kept.split()))
    assert all(e.reason.startswith("not clean: ") for e in excluded)


def test_cloaks_beside_another_identitys_picture_stay():
    everything = samples(["x"], identity="Adam") + samples(["x_cloaked"], identity="Bea")
    assert drop_named_cloaks(everything) == (everything, [])


def put(folder: Path, *files: str) -> Path:
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).touch()
    return folder


def test_one_folder_may_hold_originals_copies_and_cloaks(tmp_path):
    files = [f"Adam/{k}{suffix}" for k in ("1", "10", "2") for suffix in (".jpg", "_small.png", "_attacked.png")]
    folder = put(tmp_path / "all", *files)
    sets = read_sets(folder, {"lowkey": folder}, {"lowkey": folder}, [])
    assert [(s.role, s.path.name, s.key) for s in sets.samples] == [
        *(("clean", f"{k}.jpg", k) for k in ("1", "10", "2")),
        *(("unprotected", f"{k}_small.png", k) for k in ("10", "1", "2")),
        *(("cloaked", f"{k}_attacked.png", k) for k in ("10", "1", "2")),
    ]


def test_extensions_do_not_matter_but_one_stem_is_one_picture(tmp_path):
    clean = put(tmp_path / "clean", "Adam/a.jpeg", "Adam/b.png", "Adam/c.JPG", "Adam/c.png")
    cloaked = put(tmp_path / "cloaked", *(f"Adam/{k}_cloaked.png" for k in "abc"))
    sets = read_sets(clean, {"f": cloaked}, {}, [])
    assert [(s.role, s.path.name) for s in sets.samples] == [
        *(("clean", name) for name in ("a.jpeg", "b.png", "c.JPG")),
        *(("cloaked", f"{k}_cloaked.png") for k in "abc"),
    ]
    assert [(e.path.name, e.reason.split(":")[0]) for e in sets.excluded] == [("c.png", "unpaired")]


def test_cloaks_without_a_clean_picture_are_listed(tmp_path):
    clean = put(tmp_path / "clean", "Adam/a.jpg", "Adam/b.jpg", "Bea/a.jpg")
    cloaked = put(tmp_path / "cloaked", "Adam/a_cloaked.png", "Adam/z_cloaked.png", "Carl/a_cloaked.png")
    sets = read_sets(clean, {"f": cloaked}, {}, [])
    assert sorted(e.path.relative_to(tmp_path).as_posix() for e in sets.excluded) == [
        "cloaked/Adam/z_cloaked.png",
        "cloaked/Carl/a_cloaked.png",
    ]
    assert all(e.reason.startswith("unpaired: ") for e in sets.excluded)


def test_flat_folders_pair(tmp_path):
    clean = put(tmp_path / "clean", "Adam_12_1.jpg", "Adam_12_10.jpg", "Bea_1_1.jpeg")
    cloaked = put(tmp_path / "cloaked", "Adam_12_1_cloaked.png", "Adam_12_10_high_cloaked.png", "Bea_1_1_attacked.png")
    sets = read_sets(clean, {"f": cloaked}, {}, [])
    assert sorted((s.identity, s.key) for s in sets.samples if s.role == "cloaked") == [
        ("Adam", "Adam_12_1"),
        ("Adam", "Adam_12_10"),
        ("Bea", "Bea_1_1"),
    ]
    assert sets.excluded == ()


STEMS = st.lists(st.text("ax_1", min_size=1, max_size=4), unique=True, max_size=8)
SUFFIXES = ["", "_cloaked", "_attacked", "_high_cloaked", "._attacked"]


@given(STEMS, st.lists(st.tuples(st.integers(0, 9), st.sampled_from(SUFFIXES)), unique=True, max_size=8))
@settings(max_examples=150, deadline=None)
def test_every_cloaked_picture_is_paired_once_or_listed_once(stems, drawn):
    clean = samples(stems)
    names = {stems[number] + suffix for number, suffix in drawn if number < len(stems)}
    others = samples(sorted(names | {"stranger_cloaked"}), "cloaked")
    paired, excluded = pair(clean, others)
    assert sorted([s.path for s in paired] + [e.path for e in excluded]) == sorted(s.path for s in others)
    assert len({s.key for s in paired}) == len(paired)
    for sample in paired:
        assert sample.key in stems
        assert sample.path.stem == sample.key or sample.key in stripped(sample.path.stem, "cloaked")
    again, _ = pair(clean[::-1], others[::-1])
    assert {(s.path, s.key) for s in again} == {(s.path, s.key) for s in paired}

"""Cloaks by name, their modes and mixes, and the names the tools give to files."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

from facecure.cloaks.options import CloakOptions
from facecure.cloaks.registry import CLOAKS, cloak_class, parse
from facecure.errors import InputError
from facecure.pictures.pairing import stripped

NAMES = [f"{name}:{mode}" if mode else name for name in CLOAKS for mode in (*cloak_class(name).modes,) or ("",)]


def made(name, surrogates, **options):
    (part,) = parse(name)
    return part.cloak(surrogates, part.cloak.modes.get(part.mode), CloakOptions(**{"lpips": "none"} | options))


@pytest.mark.parametrize("name", NAMES)
def test_every_name_makes_its_cloak_whose_files_pair_again(tiny, name):
    cloak = made(name, [tiny(0), tiny(1)])
    assert cloak.parameters()["protocol"] == "corrected"
    assert cloak.iterations > 0
    (part,) = parse(name)
    assert str(part) == name
    assert "photo" in stripped(f"photo{part.suffix}", "cloaked")


@pytest.mark.parametrize("name", CLOAKS)
def test_what_cloaks_whole_photos_instead_is_registered_too(name):
    instead = cloak_class(name).for_photos
    assert not instead or not cloak_class(instead).for_photos


@pytest.mark.parametrize(
    ("name", "threshold", "iterations", "rate"),
    [
        ("fawkes-v0.3:min", 0.002, 20, 40), ("fawkes-v0.3:low", 0.003, 50, 35), ("fawkes-v0.3:mid", 0.005, 200, 20),
        ("fawkes-v0.3:high", 0.008, 500, 10), ("fawkes-v0.3:ultra", 0.01, 1000, 8), ("fawkes-v1.0:low", 0.004, 40, 25),
        ("fawkes-v1.0:mid", 0.012, 75, 20), ("fawkes-v1.0:high", 0.017, 150, 15),
        ("fawkes-v1.0:high-2021-03-07", 0.015, 100, 15), ("fawkes-v1.0:low-2021-04-30", 0.005, 30, 25),
    ],
)  # fmt: skip
def test_modes_are_those_of_the_protocol(tiny, name, threshold, iterations, rate):
    found = made(name, [tiny()]).parameters()
    assert (found["threshold"], found["iterations"], found["rate"]) == (threshold, iterations, rate)
    assert found["penalty"] == (1e9 if "v0.3" in name else 1e6)
    assert made(name, [tiny()], penalty=5.0).parameters()["penalty"] == 5.0


def test_a_mix_has_shares_that_sum_to_one():
    first, second = parse("mix:fawkes-v1.0:high=1,fawkes-v0.3:low=3")
    assert (str(first), first.share, str(second), second.share) == ("fawkes-v1.0:high", 0.25, "fawkes-v0.3:low", 0.75)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("fawkes-v1.0", "low, mid, high"), ("fawkes-v1.0:ultra", "low, mid, high"), ("lowkey:high", "unknown cloak"),
        ("fawks-v1.0:high", "did you mean 'fawkes-v1.0'"), ("mix:lowkey=1", "two or more"),
        ("mix:lowkey=0,lowkey-4=1", "two or more"),
        ("mix:lowkey,lowkey-4", "two or more"), ("", "unknown cloak"),
    ],
)  # fmt: skip
def test_unknown_names_are_refused_with_a_hint(name, says):
    with pytest.raises(InputError, match=says):
        parse(name)


def test_no_surrogate_is_an_error():
    with pytest.raises(InputError, match="at least one surrogate"):
        made("lowkey", [])


@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        ("fawkes-v0.3:high", "_high_cloaked"), ("fawkes-v1.0:high", "_cloaked"), ("lowkey", "_attacked"),
        ("fawkes-v1.0:mid-2021-04-21", "_mid_cloaked"), ("lowkey-4-warp", "_attacked"),
    ],
)  # fmt: skip
def test_files_are_named_as_the_tools_do(name, suffix):
    (part,) = parse(name)
    assert part.suffix == suffix

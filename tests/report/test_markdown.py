"""The Markdown says what the report counts; the expected numbers are worked out by hand."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from facecure.report.markdown import markdown
from facecure.report.model import RevealedBy
from facecure.types import Exclusion, Suspect

from .examples import ANN, BOB, CELL, REPORT, UNMEASURED


def tables(text: str) -> list[list[list[str]]]:
    """All tables as a reader of GitHub Markdown sees them; each row must have as many cells as its heading."""
    found: list[list[list[str]]] = []
    previous = ""
    for line in text.splitlines():
        if line.startswith("|"):
            if not previous.startswith("|"):
                found.append([])
            found[-1].append([part.strip().replace("\\|", "|") for part in re.split(r"(?<!\\)\|", line)[1:-1]])
        previous = line
    for table in found:
        assert {len(row) for row in table} == {len(table[0])}
        assert set(table[1]) == {"---"}
    return found


def table_of(text: str, heading: str) -> list[list[str]]:
    (table,) = [t for t in tables(text) if heading in t[0]]
    return table[2:]


def test_the_cell_has_rate_counts_interval_and_errors():
    (row,) = table_of(markdown(REPORT), "bootstrap")
    assert row[:7] == ["fawkes", "arcface", "44.4 %", "10 of 18", "24.6-66.3 %", "5.6 %", "5.0 %"]
    assert row[7:] == ["–", "8.8 %", "4 people, 17 pictures"]


def test_a_bootstrap_is_shown_where_there_is_one():
    (row,) = table_of(markdown(replace(REPORT, cells=(replace(CELL, bootstrap=(0.2, 0.8)),))), "bootstrap")
    assert row[7] == "20.0-80.0 %"


def test_each_person_has_a_row():
    assert table_of(markdown(REPORT), "identity") == [
        ["Ann", "60.0 %", "4 of 10", "31.3-83.2 %", "10.0 %", "5.0 %", "50.0 %"],
        ["Bob", "25.0 %", "6 of 8", "7.1-59.1 %", "0.0 %", "–", "0.0 %"],
    ]
    assert "Mean over identities: 42.5 %. Without a rate: Cid (no probe: too few)" in markdown(REPORT)


def test_the_weakest_picture_is_named_with_the_rate_without_it():
    assert table_of(markdown(REPORT), "rate without it") == [
        ["fawkes", "arcface", "`bob/1.png`", "3 of 18 probes", "44.4 %", "61.1 %"]
    ]


@pytest.mark.parametrize(
    ("pictures", "weakest", "without"),
    [
        ([("x", 4, 1), ("y", 2, 2)], "`y`", "100 × (1 - 8/18)"),
        ([("x", 2, 2), ("y", 3, 2)], "`y`", "100 × (1 - 8/18)"),
        ([("x", 9, 0), ("y", 1, 1)], "`y`", "100 × (1 - 9/18)"),
    ],
    ids=["alone counts", "then all", "shared ones do not"],
)
def test_weakest_is_who_alone_reveals_most(pictures, weakest, without):
    people = (
        replace(ANN, revealed_by=tuple(RevealedBy(*picture) for picture in pictures)),
        replace(BOB, revealed_by=()),
    )
    (row,) = table_of(markdown(replace(REPORT, cells=(replace(CELL, identities=people),))), "rate without it")
    assert row[2] == weakest
    assert row[5] == {"100 × (1 - 8/18)": "55.6 %", "100 × (1 - 9/18)": "50.0 %"}[without]


def test_where_no_picture_alone_reveals_anybody_none_is_named():
    people = (replace(ANN, revealed_by=(RevealedBy("x", 4, 0),)), replace(BOB, revealed_by=()))
    text = markdown(replace(REPORT, cells=(replace(CELL, identities=people),)))
    assert not any("rate without it" in table[0] for table in tables(text))


@pytest.mark.parametrize("cells", [(UNMEASURED,), (CELL, UNMEASURED), ()], ids=["alone", "beside another", "no cell"])
def test_a_cell_without_probes_has_dashes(cells):
    text = markdown(replace(REPORT, cells=cells))
    rows = [row for table in tables(text) if "bootstrap" in table[0] for row in table[2:]]
    assert len(rows) == len(cells)
    if cells:
        assert rows[-1] == ["lowkey", "arcface", "–", "0 of 0", "–", "–", "–", "–", "–", "0 people, 0 pictures"]
        assert "Without a rate: Ann (no usable cloaked picture)" in text


@pytest.mark.parametrize("splits", [1, 2])
def test_what_the_interval_omits_is_said(splits):
    text = markdown(replace(REPORT, protocol=replace(REPORT.protocol, splits=splits)))
    assert f"**corrected**, {splits} split{'s' * (splits > 1)}, seed 7" in text
    assert ("one split the interval omits the variance of the split" in text) == (splits == 1)
    assert "- a fix\n- another fix" in text


def test_warnings_exclusions_and_what_ran_are_listed():
    text = markdown(REPORT)
    assert "## Warnings\n\n- mind this\n" in text
    assert table_of(text, "excluded picture") == [["`bob/3.jpg`", "unreadable: truncated"]]
    assert table_of(text, "found by name") == [["clean", "2", "30", "31"]]
    assert table_of(text, "runtime") == [
        ["arcface", "onnxruntime 1.22", "fp32", "cpu", "a" * 12, "b" * 12, "–", "none stated", "CASIA-WebFace", "–"]
    ]
    for said in (
        "Detector dddddddddddd",
        "a processor (avx2), 2 threads (4 CPUs, cgroup quota 1.5), Python 3.11",
        "numpy 2.0",
        "embed 1.2 s",
        "Finished 2026-11-27T00:52:15+00:00.",
        "docs/protocol.md",
    ):
        assert said in text


def test_what_is_not_cloaked_and_what_looks_wrong_is_named():
    text = markdown(replace(REPORT, cells=(replace(CELL, uncloaked=("bob/1.png",)),),
                            suspects=(Suspect(Path("bob/1.png"), "uncloaked: it is clean"),)))  # fmt: skip
    assert table_of(text, "bootstrap")[0][0] == "fawkes (1 not cloaked)"
    assert table_of(text, "rate without it")[0][2:4] == ["`bob/1.png`", "3 of 18 probes, for it is not cloaked"]
    assert "## Suspects" in text
    (found,) = [t for t in tables(text) if t[0] == ["picture", "reason"]]
    assert found[2:] == [["`bob/1.png`", "uncloaked: it is clean"]]
    assert "## Suspects" not in markdown(REPORT)


def test_without_warnings_and_exclusions_nothing_is_said_of_them():
    text = markdown(replace(REPORT, warnings=(), excluded=()))
    assert "## Warnings" not in text
    assert not any("excluded picture" in table[0] for table in tables(text))


@pytest.mark.parametrize("odd", ["a|b", "a||b", "a\nb", "a\r\nb"], ids=repr)
def test_odd_names_and_reasons_break_no_table(odd):
    people = (replace(ANN, identity=odd, revealed_by=(RevealedBy(f"{odd}.png", 4, 4),)), BOB)
    text = markdown(
        replace(
            REPORT,
            cells=(replace(CELL, cloak=odd, identities=people),),
            excluded=(Exclusion(Path(f"{odd}.png"), f"unreadable: {odd}"), Exclusion(Path("last"), "last")),
        )
    )
    shown = " ".join(odd.split())
    path = odd.replace("\n", "\\n").replace("\r", "\\r")  # by which the file can be found
    assert table_of(text, "excluded picture") == [[f"`{path}.png`", f"unreadable: {shown}"], ["`last`", "last"]]
    assert [row[0] for row in table_of(text, "identity")] == [shown, "Bob"]
    assert table_of(text, "rate without it")[0][::2] == [shown, f"`{path}.png`", "44.4 %"]


def test_an_extractor_that_says_less_of_itself_breaks_no_report():
    own = {"name": "own", "digest": "e" * 64, "runtime": "numpy"}
    text = markdown(replace(REPORT, environment=replace(REPORT.environment, extractors=(own,), detector=None)))
    assert table_of(text, "runtime") == [["own", "numpy", "–", "–", "–", "e" * 12, "–", "–", "–", "–"]]
    assert "Detector" not in text

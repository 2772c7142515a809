"""What the terminal shows holds the report's numbers, whole, whatever the names and the width."""

from __future__ import annotations

import re
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from facecure.report.model import Report, RevealedBy
from facecure.report.provenance import Protocol
from facecure.report.terminal import terminal
from facecure.types import Exclusion, Suspect

from . import examples

ANN = replace(examples.ANN, revealed_by=(RevealedBy("deep/ann/1.png", 4, 3),))
BOB = replace(examples.BOB, revealed_by=())
CELL = replace(
    examples.CELL,
    cloak="fawkes-v1.0",
    extractor="xiaoccer_mfn",
    identities=(ANN, BOB),
)
UNMEASURED = replace(examples.UNMEASURED, extractor="xiaoccer_mfn")
REPORT = replace(
    examples.REPORT,
    cells=(CELL, UNMEASURED),
    protocol=Protocol("corrected", 2, 0),
    excluded=tuple(
        Exclusion(Path(f"{i}.jpg"), reason)
        for i, reason in enumerate(["no face: none", "unreadable: x", "unreadable: y"])
    ),
)
SHOWN = ("fawkes-v1.0", "xiaoccer_mfn", "44.4 %", "10 of 18", "24.6-66.3 %", "5.6 %", "5.0 %")


def shown(report: Report, width: int = 160) -> str:
    console = Console(file=StringIO(), width=width, color_system=None)
    console.print(terminal(report))
    return console.file.getvalue()


def line_with(text: str, word: str) -> str:
    (line,) = [line for line in text.splitlines() if word in line]
    return line


@pytest.mark.parametrize("width", [80, 100, 160])
def test_the_numbers_stand_whole_at_every_usual_width(width):
    text = shown(REPORT, width)
    for number in SHOWN[2:]:  # names may be folded
        assert number in text
    assert max(map(len, text.splitlines())) <= width


def test_a_cell_is_one_line():
    line = line_with(shown(replace(REPORT, cells=(CELL,))), "10 of 18")
    assert [part.strip() for part in line.strip("│").split("│")] == list(SHOWN)


def test_a_cell_without_probes_has_dashes():
    line = line_with(shown(REPORT), "lowkey")
    parts = [part.strip() for part in line.strip("│").split("│")]
    assert parts == ["lowkey", "xiaoccer_mfn", "–", "0 of 0", "–", "–", "–"]


def test_the_weakest_picture_exclusions_and_warnings_follow():
    text = shown(REPORT)
    weakest = line_with(text, "weakest picture")
    # 10 of 18 identified, 3 of them by this picture alone: 1 - 7/18
    for said in ("fawkes-v1.0 / xiaoccer_mfn", "1.png", "3 probes", "61.1 % without it", "instead of 44.4 %"):
        assert said in weakest
    assert line_with(text, "Excluded").strip() == "Excluded: 2 unreadable, 1 no face"
    assert line_with(text, "Warning").strip() == "Warning: mind this"


def test_one_probe_is_one_and_what_is_not_cloaked_is_called_so():
    person = replace(ANN, revealed_by=(RevealedBy("deep/ann/1.png", 4, 1),))
    cell = replace(CELL, identities=(person, BOB), uncloaked=("deep/ann/1.png", "deep/ann/2.png"))
    text = shown(replace(REPORT, cells=(cell,)))
    assert "1.png (not cloaked) alone reveals 1 probe;" in text
    assert "fawkes-v1.0 (2 not cloaked)" in text


def test_who_else_is_in_the_gallery_is_one_line_where_it_is_the_same():
    one, other = (replace(CELL, cloak=c, other_people=29, other_pictures=522) for c in ("a", "b"))
    assert "In the gallery: 29 other people, 522 pictures" in shown(replace(REPORT, cells=(one, other, UNMEASURED)))
    text = shown(replace(REPORT, cells=(one, replace(other, other_pictures=500), replace(one, extractor="x"))))
    assert line_with(text, "522").strip() == "In the gallery of a: 29 other people, 522 pictures"
    assert line_with(text, "500").strip() == "In the gallery of b: 29 other people, 500 pictures"
    alone = replace(CELL, other_people=1, other_pictures=1)
    assert "In the gallery: 1 other person, 1 picture\n" in re.sub(" +\n", "\n", shown(replace(REPORT, cells=(alone,))))
    assert "In the gallery" not in shown(replace(REPORT, cells=(UNMEASURED,)))


def test_suspects_are_counted_by_kind():
    suspects = tuple(Suspect(Path("x"), f"{kind}: y") for kind in ("name", "uncloaked", "uncloaked"))
    assert line_with(shown(replace(REPORT, suspects=suspects)), "Suspects").strip() == "Suspects: 2 uncloaked, 1 name"
    assert "Suspects" not in shown(REPORT)


@pytest.mark.parametrize("splits", [1, 2])
def test_the_title_names_protocol_and_splits(splits):
    text = shown(replace(REPORT, protocol=replace(REPORT.protocol, splits=splits)))
    assert f"(corrected, {splits} split{'s' if splits > 1 else ''}, 1-NN)" in text


@pytest.mark.parametrize("odd", ["[red]x[/red]", "[/]", "x[1]", "ü × 你"])
def test_odd_names_are_shown_as_they_are(odd):
    cell = replace(CELL, cloak=odd, extractor=odd, identities=(replace(ANN, revealed_by=(RevealedBy(odd, 4, 3),)), BOB))
    excluded = (Exclusion(Path("x"), f"{odd}: y"),)
    text = shown(replace(REPORT, cells=(cell,), excluded=excluded, warnings=(odd,)))
    assert line_with(text, "10 of 18").count(odd) == 2
    assert f"Warning: {odd}" in text
    assert f"1 {odd}" in text


def test_an_empty_report_is_shown_too():
    text = shown(replace(REPORT, cells=(), excluded=(), warnings=()))
    assert "Protection rates" in text
    assert "Excluded" not in text
    assert "Warning" not in text

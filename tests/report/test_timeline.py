"""The timeline has a mark per dated cell, in order of years, at the height of its rate."""

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree

import pytest

from facecure.report.model import CellResult, IdentityResult, Rate
from facecure.report.timeline import timeline_svg

from .examples import REPORT

SVG = "{http://www.w3.org/2000/svg}"
PERSON = IdentityResult(
    identity="Ann", protection=Rate(15, 20), clean=Rate(2, 20), control=Rate(0, 0), enrolled=Rate(0, 0)
)
CELL = CellResult(
    cloak="fawkes <1>", extractor="old & good", protocol="corrected", scenario="oblivious", identities=(PERSON,),
    year=2018, white_box=True,
)  # fmt: skip


def with_rate(cell: CellResult, hits: int) -> CellResult:
    return replace(cell, identities=(replace(PERSON, protection=Rate(hits, 20)),))


CELLS = (
    with_rate(replace(CELL, extractor="new", year=2021, white_box=False), 1),
    CELL,
    with_rate(replace(CELL, cloak="lowkey", white_box=None), 20),
)


def drawn(*cells: CellResult) -> ElementTree.Element:
    return ElementTree.fromstring(timeline_svg(replace(REPORT, cells=cells)))


def marks(root: ElementTree.Element) -> list[tuple[str, float, float]]:
    """Return what each mark says, and its centre."""
    found = []
    for element in root.iter():
        if (title := element.find(f"{SVG}title")) is not None:
            if element.tag == f"{SVG}circle":
                x, y = float(element.get("cx")), float(element.get("cy"))
            else:
                x, y = float(element.get("x")) + 5, float(element.get("y")) + 5
            found.append((title.text, x, y))
    return found


def test_marks_stand_by_year_and_rate():
    found = {text: (x, y) for text, x, y in marks(drawn(*CELLS))}
    assert list(found) == [
        "fawkes <1>, old & good: 75.0 %, n = 20", "fawkes <1>, new: 5.0 %, n = 20",
        "lowkey, old & good: 100.0 %, n = 20",
    ]  # fmt: skip
    old, new, lowkey = found.values()
    assert old[0] < new[0]
    assert lowkey[1] < old[1] < new[1]
    # heights are linear in the rate: 100 %, 75 %, 5 %
    assert (old[1] - lowkey[1]) / (new[1] - lowkey[1]) == pytest.approx(0.25 / 0.95, abs=1e-3)


def test_white_boxes_are_squares_and_the_legend_says_so():
    text = timeline_svg(replace(REPORT, cells=CELLS))
    assert "white box" in text
    assert "white box" not in timeline_svg(replace(REPORT, cells=CELLS[:1]))
    assert "clean error" in text


def test_without_years_or_rates_there_is_no_figure():
    for cells in ((), (replace(CELL, year=None),), (replace(CELL, identities=()),)):
        assert timeline_svg(replace(REPORT, cells=cells)) is None

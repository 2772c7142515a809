"""Whatever names, reasons and terms hold, a report shows it as text: read by a Markdown reader, a terminal, an SVG."""

from __future__ import annotations

import re
from dataclasses import replace
from io import StringIO
from pathlib import Path
from xml.etree import ElementTree

import pytest
from markdown_it import MarkdownIt
from rich.console import Console

from facecure.report.markdown import code, markdown, plain
from facecure.report.model import Unmeasured
from facecure.report.provenance import PictureCounts
from facecure.report.terminal import terminal
from facecure.report.timeline import timeline_svg
from facecure.types import Exclusion

from .examples import ANN, CELL, RAN, REPORT

FOREIGN = [
    "<img src=x onerror=alert(1)>",
    "<script>alert(1)</script>",
    "&lt;b&gt; &amp; <b>",
    "[a](javascript:alert(1)) ![b](http://x/y.png)",
    "*bold* **b** _i_ __i__ ~~gone~~ `code`",
    "a|b\\|c",
    "``` fence",
    "tick ` and `` two",
    "# heading",
    "- item",
    "1. first",
    "===",
    "[bold red]x[/] a[ b]k \\[c]",
    "plain_name_with_bars",
    "end\\",
]
HIDDEN = ["\x1b[2J\x1b[31m", "a\u202egnp.exe", "line\nbreak\r", "\u2066x\u2069", "tab\there", "\x07\x9b1m", "a\u200bb"]


def reader() -> MarkdownIt:
    return MarkdownIt("commonmark").enable(["table", "strikethrough"])


def report_with(text: str):
    person = replace(ANN, identity=text, revealed_by=(replace(ANN.revealed_by[0], path=text),))
    cell = replace(
        CELL, cloak=text, extractor=text, identities=(person,), unmeasured=(Unmeasured(text, text),),
        year=2020,
    )  # fmt: skip
    ran = RAN | {"name": text, "licence": text, "training_set": text}
    return replace(
        REPORT, cells=(cell,), warnings=(text,), excluded=(Exclusion(Path(text), text),),
        pictures={text: PictureCounts(1, 1, 1)},
        environment=replace(REPORT.environment, extractors=(ran,)),
    )  # fmt: skip


def kinds(text: str) -> list[str]:
    """What a Markdown reader makes of a document, without its words."""
    return [
        inner.type
        for token in reader().parse(text)
        for inner in [token, *(token.children or [])]
        if inner.type != "text"
    ]


def words(text: str) -> str:
    """What somebody reads in the document."""
    found = [inner for token in reader().parse(text) for inner in token.children or []]
    return "\n".join(inner.content if inner.type in ("text", "code_inline") else "" for inner in found)


@pytest.mark.parametrize("text", FOREIGN + HIDDEN)
def test_markdown_shows_text_and_keeps_its_shape(text):
    found, harmless = markdown(report_with(text)), markdown(report_with("harmless"))
    assert kinds(found) == kinds(harmless)
    assert not any(kind.startswith("html") for kind in kinds(found))
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", found)


@pytest.mark.parametrize("text", FOREIGN)
def test_what_is_read_is_what_stood_there(text):
    assert words(plain(text)).replace("\n", "") == text
    (token,) = [t for t in reader().parse(code(text))[1].children if t.type == "code_inline"]
    assert token.content.replace("\\|", "|") == text
    assert text in words(markdown(report_with(text))).splitlines()


@pytest.mark.parametrize("text", FOREIGN + HIDDEN)
def test_a_terminal_is_not_told_anything(text):
    for markup in (True, False):
        console = Console(file=StringIO(), width=400, color_system=None, markup=markup)
        console.print(terminal(report_with(text)))
        found = console.file.getvalue()
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", found)
        if text in FOREIGN:
            assert found.count(text) >= 4


@pytest.mark.parametrize("text", FOREIGN + HIDDEN)
def test_a_figure_is_well_formed(text):
    figure = timeline_svg(report_with(text))
    tree = ElementTree.fromstring(figure)
    assert {element.tag.rpartition("}")[2] for element in tree.iter()} <= {
        "svg", "rect", "text", "line", "polyline", "circle", "title"
    }  # fmt: skip
    if text in FOREIGN:
        assert text in [element.text for element in tree.iter()]

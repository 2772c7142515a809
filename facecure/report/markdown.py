"""A report as Markdown, from its content alone; names, reasons and terms in it are text, whatever they hold."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape

from facecure.names import printable
from facecure.report.model import CellResult, Report
from facecure.report.tables import (
    COMPARISON_HEADINGS,
    HEADINGS,
    IDENTITY_HEADINGS,
    PICTURE_HEADINGS,
    RAN_HEADINGS,
    WEAKEST_HEADINGS,
    Code,
    comparison_rows,
    counted,
    how,
    identity_rows,
    percent,
    picture_rows,
    ran_rows,
    row,
    unseen,
    weakest_rows,
)

# what Markdown reads as more than itself: anywhere, beside a word, or where a line begins
_MARKS = re.compile(r"[\\`*\[\]|~]|(?<![^\W_])_|_(?![^\W_])|^[-+](?=\s|$)|^[-=](?=[-=])|^#")
_NUMBERED = re.compile(r"^(\d{1,9})([.)])(?=\s|$)")


def markdown(report: Report) -> str:
    """Return the whole report as Markdown."""
    parts = [
        "# Protection rates",
        "Share of a protected person's clean probes that are *not* identified, the gallery holding only cloaked "
        "pictures of them. The clean error beside it is the same with uncloaked ones: protection is what exceeds it.",
        _table(HEADINGS, [row(cell) for cell in report.cells]),
        _reading(report),
        _warnings(report),
        *_comparisons(report),
        *_weakest(report),
        "## Identities",
        *(_identities(cell) for cell in report.cells),
        *_suspects(report),
        *_pictures(report),
        *_what_ran(report),
    ]  # fmt: skip
    return "\n\n".join(part for part in parts if part) + "\n"


def _reading(report: Report) -> str:
    protocol = report.protocol
    lines = [
        f"Protocol **{plain(protocol.name)}**, {counted(protocol.splits, 'split')}, seed {protocol.seed}, "
        f"{how(report)}."
    ]
    if protocol.splits == 1:
        lines.append("With one split the interval omits the variance of the split itself.")
    else:
        lines.append(
            "The interval is Wilson's over all probes of all splits: a picture that is a probe in several of them "
            "counts each time, so it is narrower than the evidence. The bootstrap resamples identities (– below five); "
            "the standard deviation over splits says how much the choice of gallery pictures moves the rate."
        )
    lines.append(unseen(report))
    if any(cell.white_box for cell in report.cells):
        lines.append("White box: the cloak was made against this extractor's own network.")
    notes = "\n".join(f"- {plain(note)}" for note in protocol.notes)
    where = "The sections (§) and quirks (Q) of these notes are explained in facecure's `docs/protocol.md`."
    return "\n\n".join([" ".join(filter(None, lines)), *([notes, where] if notes else [])])


def _warnings(report: Report) -> str:
    lines = "\n".join(f"- {plain(line)}" for line in report.warnings)
    return f"## Warnings\n\n{lines}" if lines else ""


def _comparisons(report: Report) -> list[str]:
    rows = comparison_rows(report)
    said = (
        "Two cloaks or two extractors on the same probes. McNemar's p-value treats probes as independent, which "
        "pictures of one person are not; the next one exchanges the two within whole people, and Holm's adjusts that "
        f"for the number of tests, {len(rows)}."
    )
    return ["## Comparisons", said, _table(COMPARISON_HEADINGS, rows)] if rows else []


def _weakest(report: Report) -> list[str]:
    rows = weakest_rows(report)
    said = "In 1-NN one weak cloak undoes all strong ones."
    return ["## Weakest cloaked pictures", said, _table(WEAKEST_HEADINGS, rows)] if rows else []


def _identities(cell: CellResult) -> str:
    title = f"### {plain(cell.cloak)} / {plain(cell.extractor)}"
    mean = f"Mean over identities: {percent(cell.identity_mean)}."
    left = "; ".join(f"{plain(person.identity)} ({plain(person.reason)})" for person in cell.unmeasured)
    said = mean + (f" Without a rate: {left}." if left else "")
    return "\n\n".join([title, _table(IDENTITY_HEADINGS, identity_rows(cell)), said])


def _suspects(report: Report) -> list[str]:
    rows = [(Code(suspect.path), suspect.reason) for suspect in report.suspects]
    said = "What takes part although it looks wrong."
    return ["## Suspects", said, _table(("picture", "reason"), rows)] if rows else []


def _pictures(report: Report) -> list[str]:
    excluded = [(Code(exclusion.path), exclusion.reason) for exclusion in report.excluded]
    return [
        "## Pictures",
        _table(PICTURE_HEADINGS, picture_rows(report)),
        _table(("excluded picture", "reason"), excluded),
    ]


def _what_ran(report: Report) -> list[str]:
    ran = report.environment
    detector = f"Detector {ran.detector.sha256[:12]}. " if ran.detector else ""
    versions = ", ".join(f"{name} {version}" for name, version in ran.versions.items())
    seconds = ", ".join(f"{stage} {value:.1f} s" for stage, value in ran.seconds.items())
    by = f" ({ran.threads_by})" if ran.threads_by else ""  # not in older reports
    return [
        "## What ran",
        _table(RAN_HEADINGS, ran_rows(report)),
        f"{detector}{plain(ran.cpu)} ({ran.cpu_simd}), {counted(ran.threads, 'thread')}{by}, Python {ran.python}, "
        f"commit {ran.commit[:12]}. {versions}.",
        f"Time: {seconds}." + (f" Finished {plain(report.date)}." if report.date else ""),
    ]


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return ""
    lines = [map(_cell, headings), ["---"] * len(headings), *(map(_cell, row) for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cell(text: str) -> str:
    """Return text that stays inside a table cell."""
    return code(text) if isinstance(text, Code) else plain(text)


def plain(text: str) -> str:
    """Return text as Markdown that shows it, on one line: neither its letters nor HTML in it mean anything."""
    line = printable(" ".join(text.split()))
    return _NUMBERED.sub(r"\1\\\2", _MARKS.sub(lambda mark: f"\\{mark[0]}", escape(line, quote=False)))


def code(text: str) -> str:
    """Return text as a code span, on one line; in a table bars are escaped even there."""
    line = printable(text).replace("|", "\\|")
    fence = "`" * (1 + max(map(len, re.findall("`+", line)), default=0))
    return f"{fence} {line} {fence}" if "`" in line else f"{fence}{line}{fence}"

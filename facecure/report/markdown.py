"""A report as Markdown, from its JSON content alone; names, reasons and terms in it are text, whatever they hold."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from statistics import stdev

from facecure.names import printable
from facecure.types import Cell, Report, RevealedBy

HEADINGS = ("cloak", "extractor", "protection rate", "identified", "95 % interval", "clean error", "others' error",
            "bootstrap", "sd over splits", "others in the gallery")  # fmt: skip

# what Markdown reads as more than itself: anywhere, beside a word, or where a line begins
_MARKS = re.compile(r"[\\`*\[\]|~]|(?<![^\W_])_|_(?![^\W_])|^[-+](?=\s|$)|^[-=](?=[-=])|^#")
_NUMBERED = re.compile(r"^(\d{1,9})([.)])(?=\s|$)")


class Code(str):
    """Text for a table that stands as it is, in the letters of a machine."""


def markdown(report: Report) -> str:
    """Return the whole report as Markdown."""
    parts = [
        "# Protection rates",
        "Share of a protected person's clean probes that are *not* identified, the gallery holding only cloaked "
        "pictures of them. The clean error beside it is the same with uncloaked ones: protection is what exceeds it.",
        _table(HEADINGS, [row(cell) for cell in report.cells]),
        _reading(report),
        *_warnings(report),
        *_comparisons(report),
        *_weakest(report),
        "## Identities",
        *(_identities(cell) for cell in report.cells),
        *_suspects(report),
        *_excluded(report),
        *_what_ran(report),
    ]  # fmt: skip
    return "\n\n".join(part for part in parts if part) + "\n"


def row(cell: Cell) -> tuple[str, ...]:
    """Return the cell under `HEADINGS`."""
    return (
        f"{cell.cloak} ({len(cell.uncloaked)} not cloaked)" if cell.uncloaked else cell.cloak,
        f"{cell.extractor} (white box)" if cell.white_box else cell.extractor,
        percent(cell.protection_rate),
        f"{cell.identified} of {cell.probes}",
        interval(cell.interval),
        percent(cell.clean_error),
        percent(cell.control_error),
        interval(cell.bootstrap),
        percent(_spread(cell)),
        f"{cell.other_people} people, {cell.other_pictures} pictures",
    )


def percent(rate: float | None) -> str:
    """Return a rate as per cent with one decimal, a dash for None."""
    return "–" if rate is None else f"{100 * rate:.1f} %"


def interval(bounds: tuple[float, float] | None) -> str:
    """Return two rates as `low-high %`, a dash for None."""
    return "–" if bounds is None else f"{100 * bounds[0]:.1f}-{100 * bounds[1]:.1f} %"


def weakest(cell: Cell) -> RevealedBy | None:
    """Return the cloaked picture that alone reveals its person most often, None where no single one does."""
    pictures = [picture for person in cell.identities for picture in person.revealed_by if picture.alone]
    return max(pictures, key=lambda picture: (picture.alone, picture.probes), default=None)


def weakest_row(cell: Cell) -> tuple[str, ...]:
    """Return cloak, extractor, weakest picture, probes that only it reveals, the rate, and the rate without it."""
    picture = weakest(cell)
    assert picture is not None
    without = 1 - (cell.identified - picture.alone) / cell.probes
    found = f"{picture.alone} of {cell.probes} probes"
    found += ", for it is not cloaked" * (picture.path in cell.uncloaked)
    return cell.cloak, cell.extractor, Code(picture.path), found, percent(cell.protection_rate), percent(without)


def _spread(cell: Cell) -> float | None:
    """Return the standard deviation of the pooled rate over splits, None for fewer than two."""
    rates = [rate for rate in cell.split_rates if rate is not None]
    return stdev(rates) if len(rates) > 1 else None


def _reading(report: Report) -> str:
    protocol = report.protocol
    name, splits, seed = (plain(str(protocol[key])) for key in ("name", "splits", "seed"))
    lines = [f"Protocol **{name}**, {splits} split(s), seed {seed}, {how(report)}."]
    if protocol["splits"] == 1:
        lines.append("With one split the interval omits the variance of the split itself.")
    else:
        lines.append(
            "The interval is Wilson's over all probes of all splits: a picture that is a probe in several of them "
            "counts each time, so it is narrower than the evidence. The bootstrap resamples identities (– below five); "
            "the standard deviation over splits says how much the choice of gallery pictures moves the rate."
        )
    measured = [cell for cell in report.cells if cell.unseen_below is not None]
    if measured:
        least = min(measured, key=lambda cell: cell.distinct_probes)
        people = len(least.identities)
        lines.append(
            f"With {least.distinct_probes} distinct probes of {people} {'person' if people == 1 else 'people'} a "
            f"protection rate below {percent(least.unseen_below)} could have gone unseen (95 %)."
        )
    if any(cell.white_box for cell in report.cells):
        lines.append("White box: the cloak was made against this very extractor.")
    return " ".join(lines) + "\n\n" + "\n".join(f"- {plain(note)}" for note in protocol["notes"])


def _weakest(report: Report) -> list[str]:
    rows = [weakest_row(cell) for cell in report.cells if weakest(cell)]
    headings = ("cloak", "extractor", "picture", "alone reveals", "rate", "rate without it")
    said = "In 1-NN one weak cloak undoes all strong ones."
    return ["## Weakest cloaked pictures", said, _table(headings, rows)] if rows else []


def _identities(cell: Cell) -> str:
    rows = [
        (
            person.identity,
            percent(1 - person.identified / person.probes),
            f"{person.identified} of {person.probes}",
            interval(person.interval),
            percent(1 - person.clean_identified / person.probes),
            percent(person.control_errors / person.control_probes if person.control_probes else None),
            percent(1 - person.enrolled_identified / person.enrolled),
        )
        for person in cell.identities
    ]
    headings = ("identity", "protection rate", "identified", "95 % interval", "clean error", "others' error",
                "error on own cloaked pictures")  # fmt: skip
    title = f"### {plain(cell.cloak)} / {plain(cell.extractor)}"
    mean = f"Mean over identities: {percent(cell.identity_mean)}."
    left = "; ".join(f"{plain(entry['identity'])} ({plain(entry['reason'])})" for entry in cell.unmeasured)
    return "\n\n".join([title, _table(headings, rows), mean + (f" Without a rate: {left}." if left else "")])


def how(report: Report) -> str:
    """Return recogniser and scenario in words."""
    names = {"nn": "1-NN", "linear": "a linear classifier", "end-to-end": "training end to end"}
    recognisers = dict.fromkeys(names.get(cell.recogniser, cell.recogniser) for cell in report.cells) or ["1-NN"]
    scenarios = [s for s in dict.fromkeys(cell.scenario for cell in report.cells) if s != "baseline"]
    return ", ".join([*recognisers, *(f"{scenario} searcher" for scenario in scenarios)])


def _comparisons(report: Report) -> list[str]:
    """Return the tests between cloaks and between extractors, the clearest first."""
    rows = [
        (
            " / ".join(test["cloaks"]),
            " / ".join(test["extractors"]),
            f"{test['first']}, {test['second']} of {test['probes']}",
            f"{100 * test['difference']:+.1f}",
            f"{test['mcnemar']:.2g}",
            f"{test['clustered']:.2g}",
            f"{test['holm']:.2g}",
        )
        for test in sorted(report.comparisons, key=lambda test: (test["holm"], test["clustered"], test["mcnemar"]))
    ]
    if not rows:
        return []
    headings = (
        "cloaks", "extractors", "probes only one protects", "difference, points", "McNemar", "people as clusters",
        "Holm",
    )  # fmt: skip
    said = (
        "Two cloaks or two extractors on the same probes. McNemar's p-value treats probes as independent, which "
        "pictures of one person are not; the next one exchanges the two within whole people, and Holm's adjusts that "
        f"for the number of tests, {len(rows)}."
    )
    return ["## Comparisons", said, _table(headings, rows)]


def _warnings(report: Report) -> list[str]:
    return ["## Warnings", "\n".join(f"- {plain(line)}" for line in report.warnings)] if report.warnings else []


def _suspects(report: Report) -> list[str]:
    rows = [(Code(suspect["path"]), suspect["reason"]) for suspect in report.suspects]
    said = "What takes part although it looks wrong."
    return ["## Suspects", said, _table(("picture", "reason"), rows)] if rows else []


def _excluded(report: Report) -> list[str]:
    used = [(name, *(str(count[key]) for key in ("identities", "pictures", "found")))
            for name, count in report.pictures.items()]  # fmt: skip
    parts = ["## Pictures", _table(("set", "identities", "pictures used", "found by name"), used)]
    if report.excluded:
        parts.append(_table(("excluded picture", "reason"), [(Code(e["path"]), e["reason"]) for e in report.excluded]))
    return parts


def _what_ran(report: Report) -> list[str]:
    found = report.environment
    columns = {
        "extractor": "name", "runtime": "runtime", "precision": "precision", "device": "device",
        "weights": "weights_sha256", "digest": "digest", "year": "year", "terms of the weights": "licence",
        "training set": "training_set", "terms of its data": "data_terms",
    }  # fmt: skip
    digests = ("weights_sha256", "digest")
    rows = [
        [str(e.get(key) or "–")[: 12 if key in digests else None] for key in columns.values()]
        for e in found["extractors"]
    ]
    detector = f"Detector {found['detector']['sha256'][:12]}. " if found["detector"] else ""
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    seconds = ", ".join(f"{stage} {value:.1f} s" for stage, value in found["seconds"].items())
    by = f" ({found['threads_by']})" if "threads_by" in found else ""  # not in older reports
    return [
        "## What ran",
        _table(tuple(columns), rows),
        f"{detector}{plain(found['cpu'])} ({found['cpu_simd']}), {found['threads']} threads{by}, "
        f"Python {found['python']}, commit {found['commit'][:12]}. {versions}.",
        f"Time: {seconds}.",
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

"""The words and rows of a report, for whatever renders it: each table is headings and rows of plain text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from statistics import stdev

from facecure.report.model import CellResult, Interval, Report, RevealedBy

HEADINGS = ("cloak", "extractor", "protection rate", "identified", "95 % interval", "clean error", "others' error",
            "bootstrap", "sd over splits", "others in the gallery")  # fmt: skip
IDENTITY_HEADINGS = ("identity", "protection rate", "identified", "95 % interval", "clean error", "others' error",
                     "error on own cloaked pictures")  # fmt: skip
WEAKEST_HEADINGS = ("cloak", "extractor", "picture", "alone reveals", "rate", "rate without it")
COMPARISON_HEADINGS = ("cloaks", "extractors", "probes only one protects", "difference, points", "McNemar",
                       "people as clusters", "Holm")  # fmt: skip
PICTURE_HEADINGS = ("set", "identities", "pictures used", "found by name")
_RAN = {
    "extractor": "name", "runtime": "runtime", "precision": "precision", "device": "device",
    "weights": "weights_sha256", "digest": "digest", "year": "year", "terms of the weights": "licence",
    "training set": "training_set", "terms of its data": "data_terms",
}  # fmt: skip
RAN_HEADINGS = tuple(_RAN)
_DIGESTS = ("weights_sha256", "digest")


class Code(str):
    """Text for a table that stands as it is, in the letters of a machine."""


def row(cell: CellResult) -> tuple[str, ...]:
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
        f"{_people(cell.other_people)}, {counted(cell.other_pictures, 'picture')}",
    )


def identity_rows(cell: CellResult) -> list[tuple[str, ...]]:
    """Return a row per person under `IDENTITY_HEADINGS`."""
    return [
        (
            person.identity,
            percent(person.protection.value),
            f"{person.identified} of {person.probes}",
            interval(person.protection.wilson),
            *(percent(rate.value) for rate in (person.clean, person.control, person.enrolled)),
        )
        for person in cell.identities
    ]


def weakest(cell: CellResult) -> RevealedBy | None:
    """Return the cloaked picture that alone reveals its person most often, None where no single one does."""
    pictures = [picture for person in cell.identities for picture in person.revealed_by if picture.alone]
    return max(pictures, key=lambda picture: (picture.alone, picture.probes), default=None)


def rate_without(cell: CellResult, picture: RevealedBy) -> float:
    """Return the protection rate as it were without one cloaked picture."""
    return (cell.protection.hits + picture.alone) / cell.probes


def weakest_rows(report: Report) -> list[tuple[str, ...]]:
    """Return a row under `WEAKEST_HEADINGS` for every cell that has a weakest picture."""
    return [
        (
            cell.cloak,
            cell.extractor,
            Code(picture.path),
            f"{picture.alone} of {counted(cell.probes, 'probe')}"
            + ", for it is not cloaked" * (picture.path in cell.uncloaked),
            percent(cell.protection_rate),
            percent(rate_without(cell, picture)),
        )
        for cell in report.cells
        if (picture := weakest(cell))
    ]


def comparison_rows(report: Report) -> list[tuple[str, ...]]:
    """Return a row per test under `COMPARISON_HEADINGS`, the clearest first."""
    return [
        (
            " / ".join(test.cloaks),
            " / ".join(test.extractors),
            f"{test.first}, {test.second} of {test.probes}",
            f"{100 * test.difference:+.1f}",
            *(f"{p:.2g}" for p in (test.mcnemar, test.clustered, test.holm)),
        )
        for test in sorted(report.comparisons, key=lambda test: (test.holm, test.clustered, test.mcnemar))
    ]


def picture_rows(report: Report) -> list[tuple[str, ...]]:
    """Return a row per set of pictures under `PICTURE_HEADINGS`."""
    return [
        (name, str(count.identities), str(count.pictures), str(count.found)) for name, count in report.pictures.items()
    ]


def ran_rows(report: Report) -> list[tuple[str, ...]]:
    """Return a row per extractor under `RAN_HEADINGS`, digests cut to twelve letters."""
    return [
        tuple(str(ran.get(key) or "–")[: 12 if key in _DIGESTS else None] for key in _RAN.values())
        for ran in report.environment.extractors
    ]


def galleries(cells: Sequence[CellResult]) -> list[str]:
    """Return who else was enrolled, in one line where that is the same for all cloaks."""
    cloaks: dict[tuple[int, int], list[str]] = {}
    for cell in cells:
        if cell.probes:
            cloaks.setdefault((cell.other_people, cell.other_pictures), []).append(cell.cloak)
    return [
        f"In the gallery{'' if len(cloaks) == 1 else ' of ' + ', '.join(dict.fromkeys(names))}: "
        f"{people} other {'person' if people == 1 else 'people'}, {counted(pictures, 'picture')}"
        for (people, pictures), names in cloaks.items()
    ]


def kinds(reasons: Sequence[str]) -> str:
    """Return how many of each kind, the most frequent first; a reason starts with its kind and a colon."""
    counts = Counter(reason.split(":")[0] for reason in reasons)
    return ", ".join(f"{count} {kind}" for kind, count in counts.most_common())


def how(report: Report) -> str:
    """Return recogniser and scenario in words."""
    facts = (report.environment.recognisers or {}).values()  # in older reports without words
    words = {each["recogniser"]: each.get("words", each["recogniser"]) for each in facts}
    recognisers = dict.fromkeys(words.get(cell.recogniser, cell.recogniser) for cell in report.cells)
    scenarios = [s for s in dict.fromkeys(cell.scenario for cell in report.cells) if s != "baseline"]
    return ", ".join([*(recognisers or ["1-NN"]), *(f"{scenario} searcher" for scenario in scenarios)])


def unseen(report: Report) -> str:
    """Return what rate the fewest probes of a cell could not have shown, empty without probes."""
    measured = [cell for cell in report.cells if cell.distinct_probes]
    if not measured:
        return ""
    least = min(measured, key=lambda cell: cell.distinct_probes)
    return (
        f"With {counted(least.distinct_probes, 'distinct probe')} of {_people(len(least.identities))} a protection "
        f"rate below {percent(least.unseen_below)} could have gone unseen (95 %)."
    )


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, in the plural unless it is one."""
    return f"{number} {noun}{'s' * (number != 1)}"


def percent(rate: float | None) -> str:
    """Return a rate as per cent with one decimal, a dash for None."""
    return "–" if rate is None else f"{100 * rate:.1f} %"


def interval(bounds: Interval | None) -> str:
    """Return two rates as `low-high %`, a dash for None."""
    return "–" if bounds is None else f"{100 * bounds[0]:.1f}-{100 * bounds[1]:.1f} %"


def _people(number: int) -> str:
    return f"{number} {'person' if number == 1 else 'people'}"


def _spread(cell: CellResult) -> float | None:
    """Return the standard deviation of the pooled rate over splits, None for fewer than two."""
    rates = [rate for rate in cell.split_rates if rate is not None]
    return stdev(rates) if len(rates) > 1 else None

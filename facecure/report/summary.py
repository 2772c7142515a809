"""Outcomes of several splits to one cell of the report."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict

from facecure.protocols.gallery import Others
from facecure.report.model import CellKey, CellResult, IdentityResult, Rate, RevealedBy, Unmeasured
from facecure.report.statistics import bootstrap
from facecure.types import Outcome, Sample


def summarise(
    outcomes: Sequence[Sequence[Outcome]],
    samples: Sequence[Sample],
    key: CellKey,
    *,
    named: Collection[str],
    seed: int,
    contents: Sequence[str] | None = None,
    others: Others | None = None,
    uncloaked: Sequence[str] = (),
) -> CellResult:
    """Return the cell `key` from its outcomes, one sequence per split.

    Counts are summed per identity; an identity takes part with the splits that gave it both probes and a cloaked
    gallery. Of the people `named` as protected under this cloak, those who never did are listed as unmeasured.
    `contents` says what each row shows, by which distinct probes are counted; without it a picture's name does.
    `others` are the people enrolled beside, `uncloaked` the paths given as cloaked that are not. `seed` is of the
    bootstrap.
    """
    measured = [[outcome for outcome in split if outcome.probes and outcome.enrolled] for split in outcomes]
    of_person: dict[str, list[Outcome]] = defaultdict(list)
    for split in measured:
        for outcome in split:
            of_person[outcome.identity].append(outcome)
    identities = tuple(_identity(name, parts, samples) for name, parts in sorted(of_person.items()))
    rows = {row for split in measured for outcome in split for row in outcome.probe_rows}
    distinct = {(samples[row].identity, samples[row].key if contents is None else contents[row]) for row in rows}
    return CellResult(
        **asdict(key),
        identities=identities,
        splits=tuple(_missed((o.identified, o.probes) for o in split) for split in measured),
        unmeasured=_unmeasured(set(named) - of_person.keys(), outcomes, samples),
        bootstrap=bootstrap([(i.protection.hits, i.protection.n) for i in identities], seed),
        distinct_probes=len(distinct),
        other_people=others.people if others else 0,
        other_pictures=others.pictures if others else 0,
        chance=others.chance if others else None,
        uncloaked=tuple(uncloaked),
    )


def _identity(name: str, parts: Sequence[Outcome], samples: Sequence[Sample]) -> IdentityResult:
    revealed: dict[int, list[int]] = defaultdict(lambda: [0, 0])
    for part in parts:
        for row, count, alone in part.revealed_by:
            revealed[row][0] += count
            revealed[row][1] += alone
    return IdentityResult(
        identity=name,
        protection=_missed((part.identified, part.probes) for part in parts),
        clean=_missed((part.clean_identified, part.probes) for part in parts),
        control=Rate(sum(part.control_errors for part in parts), sum(part.control_probes for part in parts)),
        enrolled=_missed((part.enrolled_identified, part.enrolled) for part in parts),
        revealed_by=tuple(
            RevealedBy(str(samples[row].path), count, alone)
            for row, (count, alone) in sorted(revealed.items(), key=lambda item: (-item[1][1], -item[1][0], item[0]))
        ),
    )


def _missed(counts: Iterable[tuple[int, int]]) -> Rate:
    """Return the rate of searches without success, from pairs (identified, searches)."""
    hits = n = 0
    for identified, searches in counts:
        hits, n = hits + searches - identified, n + searches
    return Rate(hits, n)


def _unmeasured(
    people: Collection[str], outcomes: Sequence[Sequence[Outcome]], samples: Sequence[Sample]
) -> tuple[Unmeasured, ...]:
    """Return why each of the people has no rate."""
    tried = {outcome.identity: outcome for split in outcomes for outcome in split}
    clean = {sample.identity for sample in samples if sample.role == "clean"} if people else set()

    def reason(name: str) -> str:
        if name not in clean:
            return "no usable clean picture"
        if name not in tried:
            return "no usable cloaked picture"
        if not tried[name].probes:
            return "no probe: too few usable pictures for the split"
        return "no cloaked picture in the gallery half of the split"

    return tuple(Unmeasured(name, reason(name)) for name in sorted(people))

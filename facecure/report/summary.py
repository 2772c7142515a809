"""Outcomes of several splits to one cell of the report."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from facecure.protocols.gallery import Others
from facecure.report.statistics import bootstrap, clopper_pearson, unseen_below, wilson
from facecure.types import Cell, IdentityResult, Outcome, RevealedBy, Sample


def summarise(
    outcomes: Sequence[Sequence[Outcome]],
    samples: Sequence[Sample],
    *,
    cloak: str,
    extractor: str,
    protocol: str,
    seed: int,
    recogniser: str = "nn",
    scenario: str = "baseline",
    year: int | None = None,
    white_box: bool | None = None,
    shown: Sequence[str] | None = None,
    beside: Others | None = None,
    uncloaked: Sequence[str] = (),
) -> Cell:
    """Return the cell of one cloak and extractor from its outcomes, one sequence per split.

    Counts are summed per identity; an identity takes part with the splits that gave it both probes and a cloaked
    gallery. Identities of the clean pictures that never did are listed as unmeasured. `shown` is each row's content, by
    which distinct probes are counted, `beside` who else was enrolled, `uncloaked` what was given as cloaked and is not.
    """
    measured = [[o for o in split if o.probes and o.enrolled] for split in outcomes]
    totals: dict[str, list[Outcome]] = defaultdict(list)
    for split in measured:
        for outcome in split:
            totals[outcome.identity].append(outcome)
    identities = tuple(_identity(name, parts, samples) for name, parts in sorted(totals.items()))

    probes, identified = sum(i.probes for i in identities), sum(i.identified for i in identities)
    clean_identified = sum(i.clean_identified for i in identities)
    enrolled = sum(i.enrolled for i in identities)
    rows = {row for split in measured for o in split for row in o.probe_rows}
    distinct = {(samples[row].identity, samples[row].key if shown is None else shown[row]) for row in rows}
    controls = [i.control_errors / i.control_probes for i in identities if i.control_probes]
    return Cell(
        cloak=cloak,
        extractor=extractor,
        recogniser=recogniser,
        scenario=scenario,
        protocol=protocol,
        protection_rate=_error(identified, probes),
        probes=probes,
        identified=identified,
        interval=wilson(probes - identified, probes),
        bootstrap=bootstrap([(i.probes - i.identified, i.probes) for i in identities], seed),
        identity_mean=_mean([1 - i.identified / i.probes for i in identities]),
        split_rates=tuple(_error(sum(o.identified for o in s), sum(o.probes for o in s)) for s in measured),
        clean_error=_error(clean_identified, probes),
        control_error=_mean(controls),
        enrolled_error=_error(sum(i.enrolled_identified for i in identities), enrolled),
        identities=identities,
        unmeasured=_unmeasured(outcomes, samples, set(totals)),
        exact=clopper_pearson(probes - identified, probes),
        distinct_probes=len(distinct),
        unseen_below=unseen_below(len(distinct)),
        year=year,
        white_box=white_box,
        other_people=beside.people if beside else 0,
        other_pictures=beside.pictures if beside else 0,
        chance=beside.chance if beside else None,
        uncloaked=tuple(uncloaked),
    )


def _identity(name: str, parts: Sequence[Outcome], samples: Sequence[Sample]) -> IdentityResult:
    revealed: dict[int, list[int]] = defaultdict(lambda: [0, 0])
    for part in parts:
        for row, count, alone in part.revealed_by:
            revealed[row][0] += count
            revealed[row][1] += alone
    probes, identified = sum(p.probes for p in parts), sum(p.identified for p in parts)
    return IdentityResult(
        identity=name,
        probes=probes,
        identified=identified,
        clean_identified=sum(p.clean_identified for p in parts),
        interval=wilson(probes - identified, probes),
        exact=clopper_pearson(probes - identified, probes),
        enrolled=sum(p.enrolled for p in parts),
        enrolled_identified=sum(p.enrolled_identified for p in parts),
        control_probes=sum(p.control_probes for p in parts),
        control_errors=sum(p.control_errors for p in parts),
        revealed_by=tuple(
            RevealedBy(str(samples[row].path), count, alone)
            for row, (count, alone) in sorted(revealed.items(), key=lambda item: (-item[1][1], -item[1][0], item[0]))
        ),
    )


def _unmeasured(
    outcomes: Sequence[Sequence[Outcome]], samples: Sequence[Sample], measured: set[str]
) -> tuple[dict[str, str], ...]:
    tried = {o.identity: o for split in outcomes for o in split}
    listed = []
    for name in sorted({s.identity for s in samples if s.role == "clean"} - measured):
        if name not in tried:
            reason = "no usable cloaked picture"
        elif not tried[name].probes:
            reason = "no probe: too few usable pictures for the split"
        else:
            reason = "no cloaked picture in the gallery half of the split"
        listed.append({"identity": name, "reason": reason})
    return tuple(listed)


def _error(identified: int, probes: int) -> float | None:
    return 1 - identified / probes if probes else None


def _mean(rates: Sequence[float]) -> float | None:
    return sum(rates) / len(rates) if rates else None

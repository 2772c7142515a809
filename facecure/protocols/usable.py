"""Which embedded pictures take part in an evaluation, and what is said of the others."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from facecure.errors import InputError
from facecure.protocols.paired import paired_rows
from facecure.types import Exclusion, ProtocolName, Sample


def usable_rows(
    samples: Sequence[Sample], shown: Sequence[str], protocol: ProtocolName = "corrected"
) -> tuple[list[int], list[Exclusion]]:
    """Return the rows that take part, and what content and lost partners exclude; `shown` is each row's content.

    The same picture under two identities says nothing about either; a cloaked picture without its clean one cannot be
    placed in a split. `corrected` counts a content of a person once, so that it never stands on both sides of a split;
    `facecure-2021` counts files, as the released code does.
    """
    people: dict[str, set[str]] = defaultdict(set)
    for sample, content in zip(samples, shown, strict=True):
        people[content].add(sample.identity)
    excluded: list[Exclusion] = []
    rows: list[int] = []
    for row, (sample, content) in enumerate(zip(samples, shown, strict=True)):
        if others := people[content] - {sample.identity}:
            excluded.append(Exclusion(sample.path, f"duplicate: the same file lies under {', '.join(sorted(others))}"))
        else:
            rows.append(row)
    if protocol == "corrected":
        rows, repeated = _once(samples, shown, rows)
        excluded += repeated
    rows, unpaired = paired_rows(samples, rows)
    excluded += unpaired
    if protocol == "corrected":
        rows, ambiguous = _of_one_picture(samples, shown, rows)
        excluded += ambiguous
    return rows, excluded


def _once(samples: Sequence[Sample], shown: Sequence[str], rows: Sequence[int]) -> tuple[list[int], list[Exclusion]]:
    """Return the rows without the repeated ones of a person's own pictures: the one with most cloaks stays."""
    cloaks = Counter((samples[row].identity, samples[row].key) for row in rows if samples[row].role == "cloaked")
    groups: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for row in rows:
        sample = samples[row]
        if sample.role != "cloaked":
            groups[sample.role, sample.cloak, sample.identity, shown[row]].append(row)
    lost: dict[int, Exclusion] = {}
    for group in groups.values():
        best = min(group, key=lambda row: (-cloaks[samples[row].identity, samples[row].key], samples[row].order))
        reason = f"duplicate: the same picture as {samples[best].path.name}, which stays"
        lost |= {row: Exclusion(samples[row].path, reason) for row in group if row != best}
    return [row for row in rows if row not in lost], [lost[row] for row in sorted(lost)]


def _of_one_picture(
    samples: Sequence[Sample], shown: Sequence[str], rows: Sequence[int]
) -> tuple[list[int], list[Exclusion]]:
    """Return the rows without cloaked pictures that cannot be of the picture they are named after.

    Such a one shows another picture of the person, or a cloak that another one is named after too.
    """
    keys: dict[tuple[str, str, str], set[str]] = defaultdict(set)  # of clean pictures, and of each cloak's
    for row in rows:
        sample = samples[row]
        keys[sample.identity, sample.cloak if sample.role == "cloaked" else "", shown[row]].add(sample.key)
    kept, excluded = [], []
    for row in rows:
        sample = samples[row]
        clean = keys.get((sample.identity, "", shown[row]), set())
        twins = keys.get((sample.identity, sample.cloak, shown[row]), set()) - {sample.key}
        if sample.role != "cloaked" or sample.key in clean or not (clean or twins):
            kept.append(row)
            continue
        what = f"clean picture {min(clean)!r}" if clean else f"cloak of {min(twins)!r}"
        excluded.append(Exclusion(sample.path, f"duplicate: the same picture as the {what}, not a cloak of its own"))
    return kept, excluded


def uncloaked(samples: Sequence[Sample], shown: Sequence[str]) -> dict[str, list[int]]:
    """Return the rows, by cloak, whose cloaked picture is the person's own clean one, bytes or pixels.

    Raises `InputError` where that is the whole set: the folder is not what a tool wrote.
    """
    clean = {(s.identity, content) for s, content in zip(samples, shown, strict=True) if s.role != "cloaked"}
    found: dict[str, list[int]] = {}
    for cloak in dict.fromkeys(s.cloak for s in samples if s.role == "cloaked"):
        group = [row for row, s in enumerate(samples) if s.role == "cloaked" and s.cloak == cloak]
        found[cloak] = [row for row in group if (samples[row].identity, shown[row]) in clean]
        if found[cloak] and len(found[cloak]) == len(group):
            raise InputError(
                f"--cloaked {cloak}=…: every picture in it is the clean one, such as {samples[group[0]].path}; name "
                "the folder that the tool wrote"
            )
    return {cloak: rows for cloak, rows in found.items() if rows}


def never_cloaked(named: Sequence[Sample], usable: Sequence[Sample]) -> list[Exclusion]:
    """Return the usable clean pictures of cloaked people that came without a cloaked counterpart."""
    excluded = []
    for cloak in dict.fromkeys(s.cloak for s in named if s.role == "cloaked"):
        found = {(s.identity, s.key) for s in named if s.role == "cloaked" and s.cloak == cloak}
        names = {identity for identity, _ in found}
        excluded += [
            Exclusion(s.path, f"unpaired: no {cloak} counterpart, so not enrolled while that protects {s.identity}")
            for s in usable
            if s.role == "clean" and s.identity in names and (s.identity, s.key) not in found
        ]
    return excluded


def uneven_exclusions(samples: Sequence[Sample], excluded: Sequence[Exclusion]) -> list[str]:
    """Return one warning per cloak whose pictures were excluded more or less often than their clean ones."""
    lost = {e.path for e in excluded}
    clean_lost = {(s.identity, s.key) for s in samples if s.role == "clean" and s.path in lost}
    warnings = []
    for cloak in dict.fromkeys(s.cloak for s in samples if s.role == "cloaked"):
        group = [s for s in samples if s.role == "cloaked" and s.cloak == cloak]
        only = sum(s.path in lost and (s.identity, s.key) not in clean_lost for s in group)
        if only:
            warnings.append(
                f"{cloak}: {only} of {len(group)} cloaked pictures were excluded although their clean ones are usable; "
                "they are missing from the galleries, with and without the cloak"
            )
    return warnings


def count_pictures(usable: Sequence[Sample], named: Sequence[Sample]) -> dict[str, Any]:
    """Return counts per set of pictures: identities and pictures that take part, of how many found by name."""

    def label(sample: Sample) -> str:
        return f"{sample.role} {sample.cloak}".strip()

    totals = Counter(map(label, named))
    used = Counter(map(label, usable))
    people: dict[str, set[str]] = defaultdict(set)
    for sample in usable:
        people[label(sample)].add(sample.identity)
    return {name: {"identities": len(people[name]), "pictures": used[name], "found": totals[name]} for name in totals}

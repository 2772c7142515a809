"""Which embedded pictures take part in an evaluation, and what is said of the others."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from facecure.embeddings.table import EmbeddingTable
from facecure.errors import InputError
from facecure.protocols.gallery import check_others
from facecure.protocols.paired import paired_rows
from facecure.protocols.rules import PROTOCOLS
from facecure.types import Exclusion, ProtocolName, Sample


def usable(table: EmbeddingTable, protocol: ProtocolName) -> EmbeddingTable:
    """Return the table of which take part whom content and lost partners leave, with exclusions and warnings.

    The same picture under two identities says nothing about either; a cloaked picture without its clean one cannot be
    placed in a split. A protocol that counts by content has a content of a person once, so that it never stands on both
    sides of a split; otherwise files are counted, as the released code does. Clean pictures that came without a cloaked
    counterpart take part, but are listed. Raises `InputError` where fewer than two people are left to be enrolled.
    """
    samples, contents, by_content = table.samples, table.contents, PROTOCOLS[protocol].by_content
    rows, excluded = _of_one_identity(samples, contents, table.rows)
    if by_content:
        rows, repeated = _once(samples, contents, rows)
        excluded += repeated
    rows, unpaired = paired_rows(samples, rows)
    excluded += unpaired
    if by_content:
        rows, ambiguous = _of_one_picture(samples, contents, rows)
        excluded += ambiguous
    remaining = table.leaving(rows, excluded)
    warnings = _uneven_exclusions(remaining)
    remaining = remaining.leaving(rows, _never_cloaked(remaining), warnings)
    check_others(remaining.usable, remaining.excluded)
    return remaining


def _of_one_identity(
    samples: Sequence[Sample], contents: Sequence[str], rows: Sequence[int]
) -> tuple[list[int], list[Exclusion]]:
    """Return the rows whose content no other identity has, and the others with whose it is too."""
    people: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        people[contents[row]].add(samples[row].identity)
    excluded: list[Exclusion] = []
    alone: list[int] = []
    for row in rows:
        if others := people[contents[row]] - {samples[row].identity}:
            reason = f"duplicate: the same file lies under {', '.join(sorted(others))}"
            excluded.append(Exclusion(samples[row].path, reason))
        else:
            alone.append(row)
    return alone, excluded


def _once(samples: Sequence[Sample], contents: Sequence[str], rows: Sequence[int]) -> tuple[list[int], list[Exclusion]]:
    """Return the rows without the repeated ones of a person's own pictures: the one with most cloaks stays."""
    cloaks = Counter((samples[row].identity, samples[row].key) for row in rows if samples[row].role == "cloaked")
    groups: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for row in rows:
        sample = samples[row]
        if sample.role != "cloaked":
            groups[sample.role, sample.cloak, sample.identity, contents[row]].append(row)
    lost: dict[int, Exclusion] = {}
    for group in groups.values():
        best = min(group, key=lambda row: (-cloaks[samples[row].identity, samples[row].key], samples[row].order))
        reason = f"duplicate: the same picture as {samples[best].path.name}, which stays"
        lost |= {row: Exclusion(samples[row].path, reason) for row in group if row != best}
    return [row for row in rows if row not in lost], [lost[row] for row in sorted(lost)]


def _of_one_picture(
    samples: Sequence[Sample], contents: Sequence[str], rows: Sequence[int]
) -> tuple[list[int], list[Exclusion]]:
    """Return the rows without cloaked pictures that cannot be of the picture they are named after.

    Such a one shows another picture of the person, or a cloak that another one is named after too.
    """
    keys: dict[tuple[str, str, str], set[str]] = defaultdict(set)  # of clean pictures, and of each cloak's
    for row in rows:
        sample = samples[row]
        keys[sample.identity, sample.cloak if sample.role == "cloaked" else "", contents[row]].add(sample.key)
    kept, excluded = [], []
    for row in rows:
        sample = samples[row]
        clean = keys.get((sample.identity, "", contents[row]), set())
        twins = keys.get((sample.identity, sample.cloak, contents[row]), set()) - {sample.key}
        if sample.role != "cloaked" or sample.key in clean or not (clean or twins):
            kept.append(row)
            continue
        what = f"clean picture {min(clean)!r}" if clean else f"cloak of {min(twins)!r}"
        excluded.append(Exclusion(sample.path, f"duplicate: the same picture as the {what}, not a cloak of its own"))
    return kept, excluded


def uncloaked(table: EmbeddingTable) -> dict[str, list[int]]:
    """Return the rows, by cloak, whose cloaked picture is the person's own clean one, bytes or pixels.

    Raises `InputError` where that is the whole set: the folder is not what a tool wrote.
    """
    cloaked: dict[str, list[int]] = defaultdict(list)
    clean: set[tuple[str, str]] = set()
    for row in table.rows:
        sample = table.samples[row]
        if sample.role == "cloaked":
            cloaked[sample.cloak].append(row)
        else:
            clean.add((sample.identity, table.contents[row]))
    bare: dict[str, list[int]] = {}
    for cloak, rows in cloaked.items():
        same = [row for row in rows if (table.samples[row].identity, table.contents[row]) in clean]
        if same and len(same) == len(rows):
            raise InputError(
                f"cloaked {cloak!r}: every picture in it is the clean one, such as {table.samples[rows[0]].path}; name "
                "the folder that the tool wrote"
            )
        if same:
            bare[cloak] = same
    return bare


def count_pictures(table: EmbeddingTable) -> dict[str, Any]:
    """Return counts per set of pictures: identities and pictures that take part, of how many found by name."""

    def label(sample: Sample) -> str:
        return f"{sample.role} {sample.cloak}".strip()

    totals = Counter(map(label, table.named))
    used = Counter(map(label, table.usable))
    people: dict[str, set[str]] = defaultdict(set)
    for sample in table.usable:
        people[label(sample)].add(sample.identity)
    return {name: {"identities": len(people[name]), "pictures": used[name], "found": totals[name]} for name in totals}


def _never_cloaked(table: EmbeddingTable) -> list[Exclusion]:
    """Return the usable clean pictures of cloaked people that came without a cloaked counterpart."""
    excluded = []
    for cloak in dict.fromkeys(s.cloak for s in table.named if s.role == "cloaked"):
        cloaked = {(s.identity, s.key) for s in table.named if s.role == "cloaked" and s.cloak == cloak}
        names = {identity for identity, _ in cloaked}
        excluded += [
            Exclusion(s.path, f"unpaired: no {cloak} counterpart, so not enrolled while that protects {s.identity}")
            for s in table.usable
            if s.role == "clean" and s.identity in names and (s.identity, s.key) not in cloaked
        ]
    return excluded


def _uneven_exclusions(table: EmbeddingTable) -> list[str]:
    """Return one warning per cloak whose pictures were excluded more or less often than their clean ones."""
    lost = {e.path for e in table.excluded}
    clean_lost = {(s.identity, s.key) for s in table.named if s.role == "clean" and s.path in lost}
    warnings = []
    for cloak in dict.fromkeys(s.cloak for s in table.named if s.role == "cloaked"):
        group = [s for s in table.named if s.role == "cloaked" and s.cloak == cloak]
        only = sum(s.path in lost and (s.identity, s.key) not in clean_lost for s in group)
        if only:
            warnings.append(
                f"{cloak}: {only} of {len(group)} cloaked pictures were excluded although their clean ones are usable; "
                "they are missing from the galleries, with and without the cloak"
            )
    return warnings

"""Which embedded pictures take part in an evaluation, and what is said of the others."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from facecure.embed import EmbeddingTable
from facecure.protocols.paired import paired_rows
from facecure.types import Exclusion, Sample


def usable_rows(table: EmbeddingTable) -> tuple[list[int], list[Exclusion]]:
    """Return the rows that take part, and what content and lost partners exclude.

    The same bytes under two identities say nothing about either; a cloaked picture without its clean one cannot be
    placed in a split.
    """
    people: dict[str, set[str]] = defaultdict(set)
    for sample, sha256 in zip(table.samples, table.sha256, strict=True):
        people[sha256].add(sample.identity)
    excluded: list[Exclusion] = []
    rows: list[int] = []
    for row, (sample, sha256) in enumerate(zip(table.samples, table.sha256, strict=True)):
        if others := people[sha256] - {sample.identity}:
            excluded.append(Exclusion(sample.path, f"duplicate: the same file lies under {', '.join(sorted(others))}"))
        else:
            rows.append(row)
    rows, unpaired = paired_rows(table.samples, rows)
    return rows, [*excluded, *unpaired]


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

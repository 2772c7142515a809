"""Which samples can be placed in a split: a cloaked picture needs its clean one, also after exclusions."""

from __future__ import annotations

from collections.abc import Sequence

from facecure.types import Exclusion, Sample


def paired_rows(samples: Sequence[Sample], rows: Sequence[int]) -> tuple[list[int], list[Exclusion]]:
    """Return those of `rows`, indices of `samples`, whose clean picture is among them, and the others with the reason.

    Clean is the unprotected picture where a cloak came with such, else the picture in the clean set.
    """
    kept, excluded = list(rows), []
    for role in ("unprotected", "cloaked"):  # in this order: a cloaked picture may pair with an unprotected one
        present = {(s.role, s.cloak, s.identity, s.key) for s in (samples[row] for row in kept)}
        with_copy = {sample.cloak for sample in samples if sample.role == "unprotected"}
        left = []
        for row in kept:
            sample = samples[row]
            own = ("unprotected", sample.cloak) if role == "cloaked" and sample.cloak in with_copy else ("clean", "")
            if sample.role != role or (*own, sample.identity, sample.key) in present:
                left.append(row)
            else:
                reason = f"unpaired: its clean picture {sample.key!r} is missing or excluded"
                excluded.append(Exclusion(sample.path, reason))
        kept = left
    return kept, excluded

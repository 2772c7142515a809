"""Which cloaked picture belongs to which clean one: exact stem plus a tool's known suffix, never position.

Positions and substrings mispair silently (quirks Q13, Q21, Q23). Suffixes are those of files that the original tools
write, `_cloaked`, `_{mode}_cloaked`, `_attacked`, and of LowKey's clean counterparts, `_small`. Every registered cloak
writes one of them (`cloaks.cloak.Cloak.suffix`); one of its own would pair by `manifest.csv` alone.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from facecure.types import Exclusion, Role, Sample

_CLOAKED = re.compile(r"_cloaked$|\.?_attacked$")  # LowKey cuts four characters off x.jpeg: x._attacked.png (Q21)
_MODE_CLOAKED = re.compile(r"_(?:min|low|mid|high|ultra|custom)_cloaked$")
_SMALL = re.compile(r"\.?_small$")
_SUFFIXES: dict[Role, tuple[re.Pattern[str], ...]] = {
    "cloaked": (_CLOAKED, _MODE_CLOAKED),
    "unprotected": (_SMALL,),
}


def stripped(stem: str, role: Role) -> list[str]:
    """Return the clean stems that `stem` may be named after: a suffix of its role removed, at most two readings.

    `x_high_cloaked` is Fawkes v0.3's cloak of `x` or v1.0's of `x_high`.

    >>> stripped("1_high_cloaked", "cloaked")
    ['1', '1_high']
    """
    bases = [stem[: match.start()] for suffix in _SUFFIXES.get(role, ()) if (match := suffix.search(stem))]
    return sorted({base for base in bases if base})


def drop_named_cloaks(samples: Sequence[Sample]) -> tuple[list[Sample], list[Exclusion]]:
    """Return the clean samples without those named as the cloak of another one in the same identity."""
    keys = {(sample.identity, sample.key) for sample in samples}
    clean, excluded = [], []
    for sample in samples:
        bases = stripped(sample.key, "cloaked") + stripped(sample.key, "unprotected")
        base = next((b for b in bases if (sample.identity, b) in keys), None)
        if base is None:
            clean.append(sample)
        else:
            excluded.append(Exclusion(sample.path, f"not clean: named as the cloak or copy of {base!r} beside it"))
    return clean, excluded


def pair(clean: Iterable[Sample], others: Sequence[Sample]) -> tuple[list[Sample], list[Exclusion]]:
    """Return `others` (cloaked or unprotected) with the key of their clean picture, and those without a clear one.

    A stem equal to a clean one counts only where no picture of that identity carries a suffix: a folder that a tool
    wrote into also holds the originals.
    """
    keys = {(sample.identity, sample.key) for sample in clean}
    suffixed = {s.identity for s in others if any((s.identity, b) in keys for b in stripped(s.key, s.role))}
    claims: dict[tuple[str, str], list[Sample]] = defaultdict(list)
    excluded: list[Exclusion] = []
    for sample in others:
        bases = [b for b in stripped(sample.key, sample.role) if (sample.identity, b) in keys]
        if (sample.identity, sample.key) in keys:
            if sample.identity in suffixed and not bases:
                excluded.append(
                    Exclusion(sample.path, "unpaired: has the clean picture's own name, while others here are suffixed")
                )
                continue
            bases = bases or [sample.key]
        if len(bases) == 1:
            claims[sample.identity, bases[0]].append(replace(sample, key=bases[0]))
        elif bases:
            readings = " or ".join(map(repr, bases))
            excluded.append(Exclusion(sample.path, f"unpaired: may belong to {readings}; say which in a manifest"))
        else:
            excluded.append(Exclusion(sample.path, f"unpaired: {sample.identity!r} has no clean picture of this stem"))
    paired: list[Sample] = []
    for (_, key), group in claims.items():
        if len(group) == 1:
            paired += group
        else:
            names = ", ".join(s.path.name for s in group)
            excluded += [Exclusion(s.path, f"unpaired: {names} all claim {key!r}; keep one") for s in group]
    return paired, excluded

"""Reports of schema /1 in the layout of /2."""

from __future__ import annotations

from typing import Any


def upgrade(data: dict[str, Any]) -> dict[str, Any]:
    """Return a report of schema /1 as /2 has it.

    /1 kept the rates of splits without their counts. They are recovered where all splits have the same number of
    probes; where they do not, they are left out and a warning of the report says so.
    """
    warnings = list(data["warnings"])
    cells = []
    for cell in data["cells"]:
        splits = _splits(cell["split_rates"], cell["probes"], cell["identified"])
        if splits is None:
            warnings.append(
                f"{cell['cloak']} / {cell['extractor']}: the rates of single splits were kept without counts"
            )
        cells.append(cell | {"splits": splits or []})
    return data | {"date": None, "cells": cells, "warnings": warnings}


def _splits(rates: list[float | None], probes: int, identified: int) -> list[dict[str, int]] | None:
    """Return hits and n of each split, None unless splits of one size give exactly these rates and sums."""
    size = probes // max(1, sum(rate is not None for rate in rates))
    splits = [{"hits": 0 if rate is None else size - round((1 - rate) * size), "n": 0 if rate is None else size}
              for rate in rates]  # fmt: skip
    again = [1 - (split["n"] - split["hits"]) / split["n"] if split["n"] else None for split in splits]  # as /1 did
    sums = sum(split["n"] for split in splits), sum(split["hits"] for split in splits)
    return splits if again == rates and sums == (probes, probes - identified) else None

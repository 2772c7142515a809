"""The rough scan in float32 by torch, for GPUs; the verdict stays float64 on the CPU."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from facecure.kernels import Reach
from facecure.kernels.device import full_float32
from facecure.search.bounds import Pairs, Rows, float32_error, rounded_up, squares, verdict_error
from facecure.types import F32, I64

if TYPE_CHECKING:
    import torch

_PAIR_BYTES = 16  # on the device: scores, their masked copy, comparisons


def scan_torch(
    probes: F32, rows: Rows, reach: Reach, labels: I64 | None, own: I64 | None, block_bytes: int, device: torch.device
) -> Iterator[Pairs]:
    """Yield what `scan.scan` yields, computed on a torch device."""
    import torch

    length = np.sqrt(squares(probes))
    step = max(1, block_bytes // (_PAIR_BYTES * len(probes) + rows.copied_bytes))
    x = torch.from_numpy(probes).to(device)
    mine = None if own is None else torch.from_numpy(own).to(device)[:, None]
    for first in range(0, len(rows), step):
        part = rows[first : first + step]
        lengths = squares(part)
        longest, size = float(np.sqrt(lengths.max())), probes.shape[1]
        error = rounded_up(float32_error(length, longest, size) + verdict_error(length, longest, size))
        y = torch.from_numpy(part).to(device)
        half = torch.from_numpy((lengths / 2).astype(np.float32)).to(device)
        with full_float32():  # the error bound covers nothing less
            scores = x @ y.T - half
        if labels is None or mine is None:
            floor = torch.from_numpy(reach.best[:, 1] - error).to(device)
            yield Pairs.of(_reaching(scores, floor), first, error)
            continue
        names = torch.from_numpy(labels[first : first + step]).to(device)
        scores.masked_fill_(names == mine, -torch.inf)
        _raise_reach(scores, names, error, reach)
        floor = np.maximum(reach.best[:, 1] - error, -np.finfo(np.float32).max)
        probe, row, score = _reaching(scores, torch.from_numpy(floor).to(device))
        may = reach.may_win(probe, labels[first + row], score + error[probe])
        yield Pairs.of((probe[may], row[may], score[may]), first, error)


def _raise_reach(scores: torch.Tensor, names: torch.Tensor, error: F32, reach: Reach) -> None:
    """Raise `reach` by the block's best score of two labels per probe."""
    top, at = scores.max(dim=1)
    label = names[at]
    other, beside = scores.masked_fill(names == label[:, None], -float("inf")).max(dim=1)
    found = [tensor.cpu().numpy() for tensor in (top, other, label, names[beside])]
    reach.merge(np.stack(found[:2], axis=1) - error[:, None], np.stack(found[2:], axis=1))


def _reaching(scores: torch.Tensor, floor: torch.Tensor) -> tuple[I64, I64, F32]:
    """Return the pairs whose score reaches their probe's floor."""
    probe, row = (scores >= floor[:, None]).nonzero(as_tuple=True)
    found: Any = [tensor.cpu().numpy() for tensor in (probe, row, scores[probe, row])]
    return found[0], found[1], found[2]

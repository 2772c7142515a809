"""The population pass with its scan on a GPU against the same pass on the CPU: the same outcomes, then time.

530 identities × 51 pictures × 512 values, then among 250,000 distractors. On torch's CPU, in small, for tests. Never
run on a GPU yet.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from statistics import median
from typing import Any

import numpy as np
import torch

from facecure.protocols.split import Split
from facecure.recognisers.nearest import population
from facecure.types import F32, Embeddings
from people import clustered_people, counts

IDENTITIES, PICTURES, SIZE = 530, 51, 512
DISTRACTORS = 250_000


def run(quick: bool, device: str = "cuda") -> dict[str, object]:
    """Return the measurements; quick leaves the distractors out."""
    if device == "cuda" and not torch.cuda.is_available():
        sys.exit("no CUDA device is visible; this benchmark measures one")
    people, each = (20, 6) if device == "cpu" else (IDENTITIES, PICTURES)
    vectors, split = clustered_people(people, each, SIZE, noise=2.5, away=0.55, cloak_noise=0.8)
    found = {"alone": compared(vectors, split, device, 3)}
    if not quick:
        rng = np.random.default_rng(0)
        others = rng.standard_normal((DISTRACTORS, SIZE), dtype=np.float32)
        others /= np.linalg.norm(others, axis=1, keepdims=True)
        among = replace(split, distractors=np.arange(len(vectors), len(vectors) + DISTRACTORS))
        found[f"{DISTRACTORS} distractors"] = compared(np.concatenate([vectors, others]), among, device, 1)
    return {
        "ours_s": found["alone"]["ours_s"],
        "reference_s": found["alone"]["reference_s"],
        "target": 1.0,  # none was set: a GPU is lent by chance
        "correct": all(one["same"] for one in found.values()),
        "reference": f"the same pass with its scan on this machine's CPU; ours on {device}; seconds",
        "galleries": found,
    }


def compared(vectors: F32, split: Split, device: str, repeats: int) -> dict[str, Any]:
    """Return seconds of both ways, in turn, and whether all outcomes are the same."""
    spent: dict[str, list[float]] = {}
    outcomes: dict[str, list[tuple[int, ...]]] = {}
    for _ in range(1 + repeats):  # the first warms up
        # "cpu" is native code, "cpu:0" torch's
        for name, where in (("ours_s", "cpu:0" if device == "cpu" else device), ("reference_s", "cpu")):
            started = time.perf_counter()
            pass_ = population(Embeddings(vectors, "made up"), split, device=where)["cloak"]
            spent.setdefault(name, []).append(time.perf_counter() - started)
            outcomes[name] = [counts(outcome) for outcome in pass_]
    times = {name: round(median(seconds[1:]), 4) for name, seconds in spent.items()}
    print(f"{len(vectors)} rows: {times['ours_s']:.2f} s, CPU {times['reference_s']:.2f} s", file=sys.stderr)
    return {**times, "same": outcomes["ours_s"] == outcomes["reference_s"]}

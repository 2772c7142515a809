"""All protected identities of a FaceScrub-sized gallery: one pass against one rebuild per identity.

530 identities × 51 pictures × 512 values (27,030 rows), one cloak, other people's probes on both sides. The rebuild by
scikit-learn is timed on identities drawn at random in this run and scaled to all of them.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from statistics import median

import numpy as np

from facecure.protocols.population import population
from facecure.protocols.split import Split, make_split
from facecure.types import F32, Outcome, Sample
from literal import literal, one_pass

IDENTITIES, PICTURES, SIZE = 530, 51, 512
TARGET = 2000


def run(quick: bool) -> dict[str, object]:
    """Return the measurements; quick times the same problem fewer times."""
    vectors, split = problem()
    rng = np.random.default_rng()
    drawn = rng.choice(len(split.protected["cloak"]), 5 if quick else 8, replace=False)
    ours, theirs = [], []
    outcomes = population(vectors, split)["cloak"]
    correct = [counts(o) for o in outcomes] == one_pass(vectors, split, "cloak")
    for number in drawn:  # in turn, so that a slow minute of the machine slows both
        started = time.perf_counter()
        expected = literal(vectors, split, split.protected["cloak"][number])
        theirs.append(time.perf_counter() - started)
        found = outcomes[number]
        correct &= (found.identified, found.clean_identified) == (expected["probes"].sum(), expected["clean"].sum())
        correct &= found.enrolled_identified == expected["enrolled"].sum()
        correct &= found.control_errors == (~expected["controls"]).sum()
        started = time.perf_counter()
        population(vectors, split)
        ours.append(time.perf_counter() - started)
        print(f"identity {number}: rebuild {theirs[-1]:.2f} s, all in one pass {ours[-1]:.2f} s", file=sys.stderr)
    probes = sum(o.probes for o in outcomes)
    return {
        "ours_s": round(median(ours), 4),
        "reference_s": round(median(theirs) * IDENTITIES, 2),
        "target": TARGET,
        "correct": bool(correct),
        "reference": f"scikit-learn rebuild of {len(drawn)} drawn identities, scaled to {IDENTITIES}",
        "per_identity_s": round(median(theirs), 4),
        "protection_rate": round(1 - sum(o.identified for o in outcomes) / probes, 4),
        "clean_error": round(1 - sum(o.clean_identified for o in outcomes) / probes, 4),
        "control_error": round(sum(o.control_errors for o in outcomes) / sum(o.control_probes for o in outcomes), 4),
    }


def problem() -> tuple[F32, Split]:
    """Return unit vectors and a split in which cloaks, probes and other people all err now and then."""
    rng = np.random.default_rng(2021)
    centres = rng.standard_normal((IDENTITIES, SIZE))
    shape = (IDENTITIES, PICTURES, SIZE)
    clean = centres[:, None] + 2.5 * rng.standard_normal(shape)
    away = 0.55 * (centres[rng.permutation(IDENTITIES)] - centres)
    cloaked = clean + away[:, None] + 0.8 * rng.standard_normal(shape)
    vectors = np.concatenate([clean.reshape(-1, SIZE), cloaked.reshape(-1, SIZE)])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    samples = [
        Sample(f"{i:03}", Path(f"{k:03}"), f"{k:03}", role, cloak)
        for role, cloak in (("clean", ""), ("cloaked", "cloak"))
        for i in range(IDENTITIES)
        for k in range(PICTURES)
    ]
    return vectors.astype(np.float32), make_split(samples, ["cloak"], "corrected", 0, 0)


def counts(outcome: Outcome) -> tuple[int, ...]:
    """Return the counts that `one_pass` computes."""
    return outcome.identified, outcome.clean_identified, outcome.enrolled_identified, outcome.control_errors

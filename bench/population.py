"""All protected identities of a FaceScrub-sized gallery: one pass against one rebuild per identity.

530 identities × 51 pictures × 512 values (27,030 rows), one cloak, other people's probes on both sides. The rebuild by
scikit-learn is timed on identities drawn at random in this run and scaled to all of them. Then the same people among a
million distractors: time, and the memory that the pass takes beside the vectors.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np

from facecure.kernels import scan_bodies
from facecure.protocols.split import Split
from facecure.recognisers.nearest import population
from facecure.search import exact, masked
from facecure.search.bounds import Rows
from facecure.types import F32, Embeddings
from people import clustered_people, counts
from tests.references.nearest import literal, one_pass

IDENTITIES, PICTURES, SIZE = 530, 51, 512
TARGETS = {"avx2": 1500}  # by the scan's body; of others 2,500
DISTRACTORS = (250_000, 1_000_000)


def run(quick: bool) -> dict[str, object]:
    """Return the measurements; quick times the same problem fewer times."""
    vectors, split = clustered_people(IDENTITIES, PICTURES, SIZE, noise=2.5, away=0.55, cloak_noise=0.8)
    rng = np.random.default_rng()
    drawn = rng.choice(len(split.protected["cloak"]), 5 if quick else 8, replace=False)
    ours, theirs = [], []
    outcomes = population(Embeddings(vectors, "made up"), split)["cloak"]
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
        population(Embeddings(vectors, "made up"), split)
        ours.append(time.perf_counter() - started)
        print(f"identity {number}: rebuild {theirs[-1]:.2f} s, all in one pass {ours[-1]:.2f} s", file=sys.stderr)
    probes = sum(o.probes for o in outcomes)
    return {
        "ours_s": round(median(ours), 4),
        "reference_s": round(median(theirs) * IDENTITIES, 2),
        "target": TARGETS.get(scan_bodies()[-1].name, 2500),
        "scan": scan_bodies()[-1].name,
        "correct": bool(correct),
        "reference": f"scikit-learn rebuild of {len(drawn)} drawn identities, scaled to {IDENTITIES}",
        "per_identity_s": round(median(theirs), 4),
        "protection_rate": round(1 - sum(o.identified for o in outcomes) / probes, 4),
        "clean_error": round(1 - sum(o.clean_identified for o in outcomes) / probes, 4),
        "control_error": round(sum(o.control_errors for o in outcomes) / sum(o.control_probes for o in outcomes), 4),
    } | ({} if quick else {"galleries": [large(vectors, split, count) for count in DISTRACTORS]})


def large(vectors: F32, split: Split, count: int) -> dict[str, object]:
    """Return time and memory of the pass with `count` distractors, random unit vectors, in the gallery."""
    table = np.empty((len(vectors) + count, SIZE), np.float32)
    table[: len(vectors)] = vectors
    rng = np.random.default_rng(count)
    for block in np.array_split(np.arange(len(vectors), len(table)), max(1, count // 10_000)):
        drawn = rng.standard_normal((len(block), SIZE), dtype=np.float32)
        table[block] = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
    among = replace(split, distractors=np.arange(len(vectors), len(table)))
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    before = resident("VmRSS")
    started = time.perf_counter()
    outcomes = population(Embeddings(table, "made up"), among)["cloak"]
    seconds = time.perf_counter() - started
    peak = resident("VmHWM")
    some = rng.choice(split.controls, 4, replace=False)
    labels = split.control_labels[np.searchsorted(split.controls, some)]
    gallery = np.concatenate([split.enrolled, among.distractors])
    names = np.concatenate([split.enrolled_labels, np.full(count, exact.DISTRACTOR)])
    found = masked.rivals(table[some], labels, Rows(table, gallery), names)
    expected = exact.rivals(table[some], labels, table[gallery], names)
    checks = [(getattr(found, n).row == getattr(expected, n).row).all() for n in ("mate", "impostor", "second")]
    print(f"{count} distractors: {seconds:.1f} s", file=sys.stderr)
    return {
        "distractors": count,
        "seconds": round(seconds, 2),
        "vectors_bytes": table.nbytes,
        "working_bytes": peak - before,
        "correct": all(checks),
        "protection_rate": round(1 - sum(o.identified for o in outcomes) / sum(o.probes for o in outcomes), 4),
    }


def resident(key: str) -> int:
    """Return bytes of this process: VmRSS now, VmHWM at its peak."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(next(line.split()[1] for line in status.splitlines() if line.startswith(key)))

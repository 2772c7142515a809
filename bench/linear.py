"""All protected identities of a gallery: the linear recogniser together against scikit-learn refitted for each.

100 identities × 12 pictures × 128 values, one cloak, one BLAS thread for scikit-learn, which more of them slow down.
It is refitted to convergence in float64 for identities drawn at random in this run, cloaked and uncloaked as the
rebuild does, and scaled to all of them; ours is everybody, on all threads. CPU seconds are there for
machines that others work on. The full run adds our time on one thread and vectors of 512 values.
"""

from __future__ import annotations

import sys
import time
from statistics import median

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from facecure.protocols.split import Protected, Split
from facecure.recognisers.linear import Linear
from facecure.threads import available_threads, thread_limit
from facecure.types import F32, Embeddings
from people import clustered_people, counts

IDENTITIES, PICTURES = 100, 12
NOISE = {128: 2.0, 512: 3.5}  # in units of the people's own spread, so that somebody errs at either size
TARGET = 20


def run(quick: bool) -> dict[str, object]:
    """Return the measurements; quick refits fewer people and leaves the additions out."""
    found = measure(128, 4 if quick else 8)
    return found | {"target": TARGET} | ({} if quick else {"more": [alone(128), measure(512, 8), alone(512)]})


def measure(size: int, refits: int) -> dict[str, object]:
    """Return times in turn, so that a slow minute of the machine slows both, and whether decisions agree."""
    vectors, split = clustered_people(IDENTITIES, PICTURES, size, noise=NOISE[size], away=0.5, cloak_noise=0.4)
    people = split.protected["cloak"]
    drawn = np.random.default_rng().choice(len(people), refits, replace=False)
    ours, ours_cpu, cloaked, uncloaked, correct = [], [], [], [], True
    for number in drawn:
        expected, seconds = refit(vectors, split, people[number])
        cloaked.append(seconds[0])
        uncloaked.append(seconds[1])
        started, cpu = time.perf_counter(), time.process_time()
        recogniser = Linear(Embeddings(vectors, "made up"), "corrected")
        outcomes, convergence = recogniser(split), recogniser.facts
        ours.append(time.perf_counter() - started)
        ours_cpu.append(time.process_time() - cpu)
        correct &= counts(outcomes["cloak"][number]) == expected and convergence.undecided == 0
        print(f"identity {number}: refits {sum(seconds):.3f} s, all together {ours[-1]:.2f} s", file=sys.stderr)
    total = outcomes["cloak"]
    probes = sum(o.probes for o in total)
    return {
        "size": size,
        "threads": available_threads(),
        "ours_s": round(median(ours), 4),
        "reference_s": round(median(np.add(cloaked, uncloaked)) * IDENTITIES, 2),
        "correct": correct,
        "reference": f"scikit-learn refits of {refits} drawn identities to convergence, scaled to {IDENTITIES}",
        "ours_cpu_s": round(median(ours_cpu), 4),
        "reference_uncloaked_once_s": round(median(cloaked) * IDENTITIES + median(uncloaked), 2),
        "steps": convergence.iterations,
        "gradient": convergence.gradient,
        "undecided": convergence.undecided,
        "protection_rate": round(1 - sum(o.identified for o in total) / probes, 4),
        "clean_error": round(1 - sum(o.clean_identified for o in total) / probes, 4),
        "control_error": round(sum(o.control_errors for o in total) / sum(o.control_probes for o in total), 4),
    }


def alone(size: int) -> dict[str, object]:
    """Return the time of everybody together on one thread."""
    vectors, split = clustered_people(IDENTITIES, PICTURES, size, noise=NOISE[size], away=0.5, cloak_noise=0.4)
    seconds = []
    with thread_limit(1):
        for _ in range(5):
            started = time.perf_counter()
            Linear(Embeddings(vectors, "made up"), "corrected")(split)
            seconds.append(time.perf_counter() - started)
    return {"size": size, "threads": 1, "ours_s": round(median(seconds), 4)}


def refit(vectors: F32, split: Split, person: Protected) -> tuple[tuple[int, ...], tuple[float, float]]:
    """Return what scikit-learn counts for a person, and the seconds of the cloaked and the uncloaked fit."""
    others, controls = split.enrolled_labels != person.label, split.control_labels != person.label
    wide, seconds, models = vectors.astype(np.float64), [], []
    with threadpool_limits(1):
        for own in (person.cloaked, person.clean):
            rows = np.concatenate([split.enrolled[others], own])
            labels = np.concatenate([split.enrolled_labels[others], np.full(len(own), person.label)])
            started = time.perf_counter()
            model = make_pipeline(StandardScaler(), LogisticRegression(random_state=0, max_iter=10_000, tol=1e-10))
            models.append(model.fit(wide[rows], labels))
            seconds.append(time.perf_counter() - started)
        attacked, clean = models
        found = (
            (attacked.predict(wide[person.probes]) == person.label).sum(),
            (clean.predict(wide[person.probes]) == person.label).sum(),
            (attacked.predict(wide[person.cloaked]) == person.label).sum(),
            (attacked.predict(wide[split.controls[controls]]) != split.control_labels[controls]).sum(),
        )
    return tuple(map(int, found)), (seconds[0], seconds[1])

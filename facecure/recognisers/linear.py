"""The recogniser `linear`: for each protected identity a multinomial logistic regression on standardised embeddings.

It is trained on other people's enrolled rows and the person's own cloaked ones. `facecure-2021` is the released code to
the letter: scikit-learn, stopped at 100 iterations whether it has converged or not (docs/protocol.md §7.5, Q31).
`corrected` is the minimum that scikit-learn is on its way to, for all people together and to certain decisions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from facecure.errors import InputError, MissingDependency
from facecure.protocols.split import Protected, Split
from facecure.recognisers.logistic.released import Fit, TrainingSet, fit_released, version
from facecure.types import F32, I64, Outcome, ProtocolName


@dataclass(frozen=True, slots=True)
class Convergence:
    """How the fits ended: one per protected identity, and one for the same person uncloaked.

    Of `fits`, `converged` ended by themselves: scikit-learn within its tolerance, `corrected` with every decision
    certain. `iterations` are the most of any fit; `gradient`, the largest norm, and `undecided` decisions are known of
    `corrected` alone.
    """

    solver: str
    fits: int = 0
    converged: int = 0
    iterations: int = 0
    gradient: float | None = None
    undecided: int | None = None

    def and_of(self, fits: Sequence[Fit]) -> Convergence:
        """Return what holds of these fits and of more."""
        gradients = [g for g in (self.gradient, *(fit.gradient for fit in fits)) if g is not None]
        undecided = [u for u in (self.undecided, *(fit.undecided for fit in fits)) if u is not None]
        return Convergence(
            self.solver,
            self.fits + len(fits),
            self.converged + sum(fit.converged for fit in fits),
            max([self.iterations, *(fit.iterations for fit in fits)]),
            max(gradients, default=None),
            sum(undecided) if undecided else None,
        )


class Linear:
    """Fits and searches, split after split; `facts` say how the fits ended, all splits together."""

    def __init__(self, vectors: F32, protocol: ProtocolName) -> None:
        self._vectors, self._protocol = vectors, protocol
        released = protocol == "facecure-2021"
        self.convergence = Convergence(f"scikit-learn {version()}" if released else "Newton's method, float64")

    @property
    def facts(self) -> dict[str, Any]:
        """Return what ran, for the report."""
        return {"recogniser": "linear", **asdict(self.convergence)}

    def __call__(self, split: Split) -> dict[str, list[Outcome]]:
        """Return per cloak one `Outcome` per protected identity; nobody is `revealed_by` a single picture.

        People without cloaked rows are not searched for: their counts are 0.
        """
        if len(split.distractors):
            raise InputError("linear needs several pictures of everybody it tells apart: no distractors")
        fits = self._fits(split, [s for group in split.protected.values() for p in group for s in _sets(split, p)])
        self.convergence = self.convergence.and_of(fits)
        answers = iter(fits)
        return {
            cloak: [_outcome(split, person, answers) for person in group] for cloak, group in split.protected.items()
        }

    def _fits(self, split: Split, sets: Sequence[TrainingSet]) -> Sequence[Fit]:
        if not sets:
            return []
        if any((split.enrolled_labels == each.label).all() for each in sets):
            raise InputError("one person gives a classifier nothing to tell apart")
        if self._protocol == "facecure-2021":
            return fit_released(self._vectors, split.enrolled, split.enrolled_labels, sets)
        try:
            import torch  # noqa: F401
        except ImportError as error:
            raise MissingDependency("torch", "cpu") from error
        from facecure.recognisers.logistic.exact import fit_exactly

        return fit_exactly(self._vectors, split.enrolled, split.enrolled_labels, sets)


def linear(vectors: F32, split: Split, protocol: ProtocolName) -> tuple[dict[str, list[Outcome]], Convergence]:
    """Return per cloak one `Outcome` per protected identity, and how the fits ended.

    `vectors` float32 (N, D) is the embedding table that the split's rows index.
    """
    recogniser = Linear(vectors, protocol)
    return recogniser(split), recogniser.convergence


def _controls(split: Split, person: Protected) -> tuple[I64, I64]:
    """Return other people's probes, and whose they are."""
    other = split.control_labels != person.label
    return split.controls[other], split.control_labels[other]


def _sets(split: Split, person: Protected) -> Iterator[TrainingSet]:
    """Yield what is fitted for a person: cloaked, and uncloaked where there is a probe to ask about."""
    if len(person.cloaked):
        asked = np.concatenate([person.probes, person.cloaked, _controls(split, person)[0]])
        yield TrainingSet(person.label, person.cloaked, asked)
        if len(person.probes):
            yield TrainingSet(person.label, person.clean, person.probes)


def _outcome(split: Split, person: Protected, answers: Iterator[Fit]) -> Outcome:
    """Return a person's counts; takes as many of the `answers` as the person has training sets."""
    probes, cloaked = len(person.probes), len(person.cloaked)
    rows = tuple(person.probes.tolist())
    if not cloaked:
        return Outcome(person.identity, probes, probe_rows=rows)
    attacked = next(answers).labels
    clean = next(answers).labels if probes else attacked[:0]
    identified = attacked[:probes] == person.label
    _, truth = _controls(split, person)
    return Outcome(
        identity=person.identity,
        probes=probes,
        identified=int(identified.sum()),
        clean_identified=int((clean == person.label).sum()),
        enrolled=cloaked,
        enrolled_identified=int((attacked[probes : probes + cloaked] == person.label).sum()),
        control_probes=len(truth),
        control_errors=int((attacked[probes + cloaked :] != truth).sum()),
        probe_rows=rows,
        identified_rows=tuple(person.probes[identified].tolist()),
    )

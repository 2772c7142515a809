"""The recogniser `linear`: for each protected identity a multinomial logistic regression on standardised embeddings.

It is trained on other people's enrolled rows and the person's own cloaked ones. `facecure-2021` is the released code to
the letter: scikit-learn, stopped at 100 iterations whether it has converged or not (docs/protocol.md §7.5, Q31).
`corrected` is the minimum that scikit-learn is on its way to, for all people together and to certain decisions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from facecure.errors import InputError, MissingDependency
from facecure.protocols.rules import PROTOCOLS
from facecure.protocols.split import Protected, Split
from facecure.recognisers.logistic.released import Fit, TrainingSet, fit_released, version
from facecure.recognisers.recogniser import Context, Facts, Recogniser, not_searched, outcome_of
from facecure.types import I64, Embeddings, Outcome, ProtocolName


@dataclass(frozen=True, slots=True)
class Convergence(Facts):
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
            self.recogniser,
            self.words,
            self.solver,
            self.fits + len(fits),
            self.converged + sum(fit.converged for fit in fits),
            max([self.iterations, *(fit.iterations for fit in fits)]),
            max(gradients, default=None),
            sum(undecided) if undecided else None,
        )


class Linear(Recogniser):
    """Fits and searches, split after split; `facts` say how the fits ended, all splits together."""

    name = "linear"
    words = "a linear classifier"
    distractors = False

    def __init__(self, embeddings: Embeddings, protocol: ProtocolName) -> None:
        self._embeddings, self._stopped = embeddings, PROTOCOLS[protocol].stopped
        solver = f"scikit-learn {version()}" if self._stopped else "Newton's method, float64"
        self._convergence = Convergence(self.name, self.words, solver)

    @classmethod
    def of(cls, context: Context) -> Linear:
        """Return the classifier on the extractor's embeddings that the protocol asks for."""
        return cls(context.table.of(context.extractor.digest), context.protocol)

    @property
    def settings(self) -> dict[str, Any]:
        """Return the solver: where it stops short, its version counts."""
        return {"solver": self._convergence.solver}

    @property
    def facts(self) -> Convergence:
        """Return how the fits ended."""
        return self._convergence

    def __call__(self, split: Split) -> dict[str, list[Outcome]]:
        """Return per cloak one `Outcome` per protected identity; nobody is `revealed_by` a single picture.

        People without cloaked rows are not searched for: their counts are 0.
        """
        self.check(len(split.distractors))
        fits = self._fits(split, [s for group in split.protected.values() for p in group for s in _sets(split, p)])
        self._convergence = self._convergence.and_of(fits)
        answers = iter(fits)
        return {
            cloak: [_outcome(split, person, answers) for person in group] for cloak, group in split.protected.items()
        }

    def _fits(self, split: Split, sets: Sequence[TrainingSet]) -> Sequence[Fit]:
        if not sets:
            return []
        if any((split.enrolled_labels == each.label).all() for each in sets):
            raise InputError("one person gives a classifier nothing to tell apart")
        if self._stopped:
            return fit_released(self._embeddings.vectors, split.enrolled, split.enrolled_labels, sets)
        try:
            import torch  # noqa: F401
        except ImportError as error:
            raise MissingDependency("torch", "cpu") from error
        from facecure.recognisers.logistic.exact import fit_exactly

        return fit_exactly(self._embeddings.vectors, split.enrolled, split.enrolled_labels, sets)


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
    if not cloaked:
        return not_searched(person)
    attacked = next(answers).labels
    clean = next(answers).labels if probes else attacked[:0]
    _, truth = _controls(split, person)
    return outcome_of(
        person,
        attacked[:probes] == person.label,
        clean == person.label,
        attacked[probes : probes + cloaked] == person.label,
        attacked[probes + cloaked :] != truth,
    )

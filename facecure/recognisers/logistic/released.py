"""The released code's linear classifier to the letter (docs/protocol.md §7.5), and what any solver of it is asked."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from facecure.errors import MissingDependency
from facecure.types import F32, I64

_ITERATIONS = 100  # scikit-learn's default


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """Enrolled rows of other people than `label`, and `own` rows under that label; `asked` are those to be recognised.

    `own` and `asked` are int64 rows of the table of embeddings.
    """

    label: int
    own: I64
    asked: I64


@dataclass(frozen=True, slots=True)
class Fit:
    """Labels of the rows asked, int64, by a fit of so many `iterations`, and whether these were enough.

    `gradient` is its norm at the end and `undecided` the number of labels that are not certain, None if not known.
    """

    labels: I64
    iterations: int
    converged: bool
    gradient: float | None = None
    undecided: int | None = None


def version() -> str:
    """Return scikit-learn's version, on which a fit that has not converged depends."""
    try:
        import sklearn
    except ImportError as error:
        raise MissingDependency("scikit-learn", "linear") from error
    return str(sklearn.__version__)


def fit_released(vectors: F32, enrolled: I64, labels: I64, sets: Sequence[TrainingSet]) -> list[Fit]:
    """Return scikit-learn's fits, one by one: stopped at 100 iterations, in the vectors' own float32.

    `vectors` float32 (M, D) is the table, `enrolled` everybody's rows of it and `labels` whose they are. Rows are in
    the released order, one's own last.
    """
    version()
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    found = []
    # where a fit stops short, rounding counts: one thread sums in one order, whatever the machine
    with threadpool_limits(1, "blas"):
        for each in sets:
            others = labels != each.label
            rows = np.concatenate([enrolled[others], each.own])
            classes = np.concatenate([labels[others], np.full(len(each.own), each.label)])
            model = make_pipeline(StandardScaler(), LogisticRegression(random_state=0, max_iter=_ITERATIONS))
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always", ConvergenceWarning)
                model.fit(vectors[rows], classes)
            converged = not any(issubclass(warning.category, ConvergenceWarning) for warning in caught)
            predicted = model.predict(vectors[each.asked]) if len(each.asked) else np.empty(0, np.int64)
            found.append(Fit(predicted, int(model[-1].n_iter_.max()), converged))
    return found

"""How the searcher recognises: 1-NN on embeddings, a linear classifier on them, or a network trained end to end.

A recogniser maps a split to outcomes per cloak; `facts` say what ran, for the report.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol

from facecure.errors import InputError
from facecure.protocols.split import Split
from facecure.training.batches import BATCH
from facecure.types import Outcome

RecogniserName = Literal["nn", "linear", "end-to-end"]
RECOGNISERS: tuple[RecogniserName, ...] = ("nn", "linear", "end-to-end")


@dataclass(frozen=True, slots=True)
class Training:
    """How long the end-to-end recogniser trains, and from what seed; the defaults are the released code's (§8)."""

    epochs: int = 10
    steps: int = 500
    batch: int = BATCH
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.epochs, self.steps, self.batch) < 1:
            raise InputError("epochs, steps and batch must be 1 or more")


class Recogniser(Protocol):
    """Outcomes of a split, one per protected identity under each cloak."""

    @property
    def facts(self) -> dict[str, Any]:
        """Return what ran."""

    def __call__(self, split: Split) -> dict[str, list[Outcome]]:
        """Return outcomes per cloak."""

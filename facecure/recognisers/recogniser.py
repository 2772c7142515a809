"""What a recogniser is: who tells, of one extractor, whom each probe of a split is taken for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from facecure.embeddings.table import EmbeddingTable
from facecure.errors import InputError
from facecure.execution import Execution
from facecure.extractors.extractor import Extractor
from facecure.protocols.split import Protected, Split
from facecure.training.batches import BATCH
from facecure.types import Bool, Outcome, ProtocolName


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


@dataclass(frozen=True, slots=True)
class Context:
    """What a recogniser is built from: the table, the extractor it recognises by, and how it is asked.

    `store` is the folder in which it may keep what took long, None for nowhere.
    """

    table: EmbeddingTable
    extractor: Extractor
    protocol: ProtocolName = "corrected"
    training: Training = field(default_factory=Training)
    store: Path | None = None
    execution: Execution = field(default_factory=Execution)


@dataclass(frozen=True, slots=True)
class Facts:
    """What ran, for the report; `damaged` are files whose content had to be computed again.

    `words` are those for the recogniser in a report, which renders without importing it. `found_again` says that the
    answers were kept by an earlier run, of which the rest is told.
    """

    recogniser: str
    words: str
    found_again: bool = field(default=False, kw_only=True)
    damaged: tuple[str, ...] = field(default=(), kw_only=True)


class Recogniser(ABC):
    """Answers split after split; a new one is a class in a file of its own and a line in `registry.RECOGNISERS`.

    `name` is how it is asked for, `words` how a report calls it. It `needs` the table's embeddings or its faces.
    `distractors`: whether people may be enrolled who are never searched. `by_name`: whether its released code takes the
    last pictures by name as probes (Q24), which a protocol may follow.
    """

    name: ClassVar[str]
    words: ClassVar[str]
    needs: ClassVar[Literal["embeddings", "faces"]] = "embeddings"
    distractors: ClassVar[bool] = True
    by_name: ClassVar[bool] = False

    @classmethod
    @abstractmethod
    def of(cls, context: Context) -> Self:
        """Return the recogniser for one extractor of the table."""

    @property
    def settings(self) -> dict[str, Any]:
        """Return what its answers depend on beside the table and the split, for JSON: kept answers are found by it."""
        return {}

    @property
    @abstractmethod
    def facts(self) -> Facts:
        """Return what ran, over all splits so far."""

    @abstractmethod
    def __call__(self, split: Split) -> dict[str, list[Outcome]]:
        """Return per cloak one `Outcome` per protected identity; rows are those of the table."""

    @classmethod
    def check(cls, distractors: int) -> None:
        """Raise `InputError` where there are so many people who are never searched, and cannot be told apart."""
        if distractors and not cls.distractors:
            raise InputError(f"{cls.name} needs several pictures of everybody it tells apart: no distractors")


def outcome_of(person: Protected, identified: Bool, clean: Bool, enrolled: Bool, control_errors: Bool) -> Outcome:
    """Return a person's counts, nobody being `revealed_by` a single picture.

    Bool per probe, cloaked and uncloaked, per cloaked picture of the person, and per other people's probe.
    """
    return Outcome(
        identity=person.identity,
        probes=len(person.probes),
        identified=int(identified.sum()),
        clean_identified=int(clean.sum()),
        enrolled=len(person.cloaked),
        enrolled_identified=int(enrolled.sum()),
        control_probes=len(control_errors),
        control_errors=int(control_errors.sum()),
        probe_rows=tuple(person.probes.tolist()),
        identified_rows=tuple(person.probes[identified].tolist()),
    )


def not_searched(person: Protected) -> Outcome:
    """Return the counts of a person without cloaked rows, whom a classifier cannot learn: all 0."""
    return Outcome(person.identity, len(person.probes), probe_rows=tuple(person.probes.tolist()))

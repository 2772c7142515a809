"""A recogniser's answers to all splits, found again where the same was asked before."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from facecure.protocols.split import Split
from facecure.recognisers.recogniser import Context, Facts, Recogniser
from facecure.runs.folder import RunFolder
from facecure.threads import thread_limit
from facecure.types import Outcome, digest_of

_FORMAT = "facecure.outcomes/1"
_FILE = "outcomes.json"


@dataclass(frozen=True, slots=True)
class Answers:
    """Per cloak the outcomes of every split, and what ran."""

    outcomes: dict[str, list[list[Outcome]]]
    facts: Facts


def answer(
    recogniser: type[Recogniser], context: Context, splits: Sequence[Split], told: Callable[[int], None]
) -> Answers:
    """Return what a recogniser answers to the splits of the context's table; `told` counts the splits that are done.

    With a store, what was answered before is taken from `outcomes/<digest>` in it. The digest is of everything that
    answers depend on: the recogniser and its settings, the extractor, the very numbers that it made of the pictures,
    and the splits. What is damaged there is computed again.
    """
    searcher = recogniser.of(context)
    if context.store is None:
        return _computed(searcher, context, splits, told)
    asked = {
        "format": _FORMAT,
        "recogniser": recogniser.name,
        "settings": searcher.settings,
        "extractor": context.extractor.digest,
        "pictures": _digest_of_pictures(recogniser, context),
        "splits": _digest_of_splits(splits),
    }
    with RunFolder(context.store / "outcomes" / digest_of(asked)[:32], asked, what="question") as run:
        if (content := run.get(_FILE)) is not None:
            told(len(splits))
            return _read(content, searcher.facts)
        answers = _computed(searcher, context, splits, told)
        run.put(_FILE, _written(answers).encode())
        damaged = (*answers.facts.damaged, *map(str, run.damaged))
        return replace(answers, facts=replace(answers.facts, damaged=damaged))


def _computed(searcher: Recogniser, context: Context, splits: Sequence[Split], told: Callable[[int], None]) -> Answers:
    outcomes: dict[str, list[list[Outcome]]] = {}
    for done, split in enumerate(splits, 1):
        with thread_limit(context.execution.threads):  # a recogniser takes no number
            answers = searcher(split)
        for cloak, group in answers.items():
            outcomes.setdefault(cloak, []).append(group)
        told(done)
    return Answers(outcomes, searcher.facts)


def _written(answers: Answers) -> str:
    outcomes = {cloak: [[asdict(o) for o in split] for split in each] for cloak, each in answers.outcomes.items()}
    return json.dumps({"outcomes": outcomes, "facts": asdict(replace(answers.facts, damaged=()))})


def _read(content: bytes, facts: Facts) -> Answers:
    """Return answers that were kept; `facts` are of the kind that theirs are."""
    kept: dict[str, Any] = json.loads(content)
    outcomes = {cloak: [[_outcome(o) for o in split] for split in each] for cloak, each in kept["outcomes"].items()}
    return Answers(outcomes, type(facts)(**kept["facts"] | {"damaged": (), "found_again": True}))


def _outcome(values: dict[str, Any]) -> Outcome:
    """Return an outcome as it was before JSON made lists of tuples."""
    revealed = tuple((row, probes, alone) for row, probes, alone in values["revealed_by"])
    rows = {name: tuple(values[name]) for name in ("probe_rows", "identified_rows")}
    return Outcome(**values | rows | {"revealed_by": revealed})


def _digest_of_pictures(recogniser: type[Recogniser], context: Context) -> str:
    """Return a hash of the numbers that the recogniser works on; what takes part of them, the splits say."""
    table, extractor = context.table, context.extractor
    if recogniser.needs == "faces":
        return hashlib.sha256(np.ascontiguousarray(table.cut(extractor.spec.geometry).pixels).data).hexdigest()
    return hashlib.sha256(np.ascontiguousarray(table.of(extractor.digest).vectors).data).hexdigest()


def _digest_of_splits(splits: Sequence[Split]) -> str:
    """Return a hash of who is enrolled and searched under which number, and who is protected by what."""
    digest = hashlib.sha256()

    def add(name: str, *arrays: np.ndarray[Any, Any]) -> None:
        digest.update(f"{name} {[len(array) for array in arrays]}\n".encode("utf-8", "backslashreplace"))
        for array in arrays:
            digest.update(np.ascontiguousarray(array, np.int64).data)

    for split in splits:
        add("split", split.enrolled, split.enrolled_labels, split.controls, split.control_labels, split.distractors)
        for cloak, group in split.protected.items():
            add(json.dumps(["cloak", cloak, len(group)]))
            for person in group:
                add(json.dumps([person.identity, person.label]), person.probes, person.clean, person.cloaked)
    return digest.hexdigest()

"""The answers to a study's questions: each recogniser's, extractor after extractor, and what they sum up to."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from facecure.cloaks.apply.origin import white_box
from facecure.embeddings.table import EmbeddingTable
from facecure.execution import Execution
from facecure.extractors.extractor import Extractor, digest_in_float32
from facecure.protocols.division import Division, divide
from facecure.recognisers.answers import answer
from facecure.recognisers.recogniser import Context, Recogniser
from facecure.report.comparison import Comparison, Outcomes, compare_all
from facecure.report.model import CellKey, CellResult
from facecure.report.summary import summarise
from facecure.study import Study


@dataclass(frozen=True, slots=True)
class Answered:
    """Cells in the order of a report, tests between them, each recogniser's `facts` per extractor, `seconds`."""

    cells: tuple[CellResult, ...]
    comparisons: tuple[Comparison, ...]
    facts: dict[str, Any]
    warnings: tuple[str, ...]
    seconds: dict[str, float]


def answer_study(
    study: Study, recogniser: type[Recogniser], extractors: Sequence[Extractor], table: EmbeddingTable,
    uncloaked: Mapping[str, Sequence[int]], store: Path | None, execution: Execution,
) -> Answered:  # fmt: skip
    """Return what the recogniser answers, by each of the extractors, to the study's questions of the table.

    `uncloaked` are rows by cloak that were given as cloaked and are not.
    """
    cloaks = list(study.pictures.cloaked)
    division = divide(
        table, uncloaked, cloaks, study.protocol, seed=study.seed, repeats=study.repeats, by_name=recogniser.by_name
    )
    cells: list[CellResult] = []
    outcomes: dict[tuple[str, str], Outcomes] = {}
    facts: dict[str, Any] = {}
    warnings = division.warnings
    seconds: dict[str, float] = {}
    steps = len(division.splits)
    for number, extractor in enumerate(extractors):
        started, name = time.perf_counter(), extractor.spec.name

        def told(done: int, before: int = number * steps) -> None:
            execution.progress("identification", before + done, len(extractors) * steps)

        context = Context(table, extractor, study.protocol, study.training, store, execution)
        answers = answer(recogniser, context, division.splits, told)
        cells += [
            _cell(study, division, table, extractor, cloak, recogniser.name, answers.outcomes[cloak])
            for cloak in division.cloaks
        ]
        outcomes |= {(cloak, name): answers.outcomes[cloak] for cloak in cloaks}
        facts[name] = asdict(answers.facts) | {"damaged": list(answers.facts.damaged)}
        warnings += [f"{file} is damaged; what it kept was computed again" for file in answers.facts.damaged]
        seconds[f"identify {name}"] = time.perf_counter() - started
    order, by_year = list(division.cloaks), study.scenario == "oblivious"
    cells.sort(key=lambda cell: (order.index(cell.cloak), (cell.year or 0) if by_year else 0))
    return Answered(tuple(cells), compare_all(outcomes, table.samples), facts, tuple(warnings), seconds)


def _cell(
    study: Study, division: Division, table: EmbeddingTable, extractor: Extractor, name: str, recogniser: str,
    outcomes: Outcomes,
) -> CellResult:  # fmt: skip
    """Return the cell called `name`, of the cloak that it is of."""
    cloak, spec = division.cloaks[name], extractor.spec
    source = study.pictures.cloaked[cloak]
    key = CellKey(
        cloak=name, extractor=spec.name, protocol=study.protocol, recogniser=recogniser, scenario=study.scenario,
        year=spec.year, white_box=white_box(cloak, source, spec, digest_in_float32(extractor)),
    )  # fmt: skip
    return summarise(
        outcomes,
        table.samples,
        key,
        named={sample.identity for sample in table.named if sample.role == "cloaked" and sample.cloak == cloak},
        seed=study.seed,
        contents=table.contents,
        others=division.beside[name],
        uncloaked=[str(table.samples[row].path) for row in division.uncloaked.get(name, [])],
    )

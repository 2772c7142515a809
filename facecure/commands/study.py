"""The one composer: pictures → faces → embeddings → protocol → answers → report."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from pathlib import Path

from facecure.commands.answering import answer_study
from facecure.embeddings.pipeline import check_extractors, embed
from facecure.execution import Execution, torch_device
from facecure.extractors.extractor import Extractor, unproven
from facecure.extractors.thumbnail import Thumbnail
from facecure.pictures.detect import check_detector
from facecure.protocols.gallery import check_others
from facecure.protocols.rules import PROTOCOLS
from facecure.protocols.scenario import check_extractors as check_scenario
from facecure.protocols.scenario import check_identities
from facecure.protocols.suspects import find_suspects, warnings_of
from facecure.protocols.usable import count_pictures, uncloaked, usable
from facecure.recognisers.registry import find_recogniser
from facecure.report.model import Report
from facecure.report.provenance import DetectorRan, Environment, PictureCounts, Protocol
from facecure.runs.environment import environment
from facecure.study import Study
from facecure.types import Named
from facecure.zoo.find import find_detector, find_extractor


def run_study(study: Study, *, store: Named | None = None, execution: Execution = Execution()) -> Report:
    """Return the answers to a study.

    `store` is a folder in which embeddings, trainings and answers are kept, so that a repeated run, or one with an
    extractor more, computes none twice. Embeddings are computed where the recogniser needs them: "end-to-end" works on
    faces, cut in the pass that makes the thumbnails. Raises `InputError`, `MissingDependency` or `DigestMismatch`,
    before any long work where that is possible.
    """
    seconds, started = {}, time.perf_counter()
    if execution.device != "cpu":
        torch_device(execution.device)  # what is not there fails before any work
    extractors = [_opened(extractor, execution) for extractor in study.extractors]
    check_extractors(extractors)
    check_scenario(study.scenario, [extractor.spec for extractor in extractors])
    recogniser = find_recogniser(study.recogniser)
    detector = find_detector(study.detector)
    check_detector([e.spec.name for e in extractors if e.spec.geometry.found], detector)
    sets = study.pictures.read()
    check_others(sets.samples)
    recogniser.check(sum(sample.role == "distractor" for sample in sets.samples))
    warnings = [
        *check_identities([extractor.spec for extractor in extractors], sets.samples),
        *sets.warnings,
        *unproven(extractors),
        *study.warnings,
    ]
    seconds["list pictures, load extractors"] = time.perf_counter() - started

    folder = None if store is None else Path(store)
    embedded = extractors if recogniser.needs == "embeddings" else []
    geometries = [extractor.spec.geometry for extractor in extractors] if recogniser.needs == "faces" else []
    table = embed(sets.samples, [*embedded, Thumbnail()], detector, execution, store=folder, faces=geometries)
    table = usable(table, study.protocol)
    bare = uncloaked(table)
    suspects = find_suspects(table, bare, [extractor.digest for extractor in embedded], Thumbnail.digest)
    answered = answer_study(study, recogniser, extractors, table, bare, folder, execution)
    seconds |= table.seconds | answered.seconds
    return Report(
        cells=answered.cells,
        protocol=Protocol(study.protocol, study.splits, study.seed, PROTOCOLS[study.protocol].notes),
        pictures={name: PictureCounts(**counts) for name, counts in count_pictures(table).items()},
        excluded=(*sets.excluded, *table.excluded),
        warnings=(*warnings, *table.warnings, *warnings_of(suspects), *answered.warnings),
        environment=Environment(
            **environment(),
            extractors=tuple(extractor.what_ran for extractor in extractors),
            detector=None if detector is None else DetectorRan(str(detector.file), detector.sha256, detector.digest),
            identification_device=execution.device,
            recognisers=answered.facts,
            seconds={stage: round(value, 3) for stage, value in seconds.items()},
        ),
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        comparisons=answered.comparisons,
        suspects=tuple(suspects),
    )


def _opened(extractor: Named | Extractor, execution: Execution) -> Extractor:
    return find_extractor(extractor, execution) if isinstance(extractor, (str, os.PathLike)) else extractor

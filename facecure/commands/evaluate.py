"""The one composer: pictures → faces → embeddings → protocol → report."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from facecure.cloaks.apply.origin import white_box
from facecure.embeddings.pipeline import check_extractors, embed
from facecure.embeddings.table import contents
from facecure.errors import InputError
from facecure.execution import Execution, Precision, Progress, silent, torch_device
from facecure.extractors.extractor import Extractor
from facecure.extractors.runtimes.torch import load_network
from facecure.extractors.thumbnail import Thumbnail
from facecure.pictures.detect import Detector
from facecure.pictures.load import stack_faces
from facecure.pictures.manifest import read_sets
from facecure.protocols.gallery import check_others, few_others, others
from facecure.protocols.scenario import Scenario, check_identities
from facecure.protocols.scenario import check_extractors as check_scenario
from facecure.protocols.split import NOTES, make_split
from facecure.protocols.suspects import find_suspects, told
from facecure.protocols.usable import count_pictures, never_cloaked, uncloaked, uneven_exclusions, usable_rows
from facecure.recognisers.nearest import NearestNeighbour
from facecure.recognisers.registry import RECOGNISERS, Recogniser, RecogniserName, Training
from facecure.report.comparison import compare_all
from facecure.report.model import CellKey, CellResult, Report
from facecure.report.provenance import DetectorRan, Environment, PictureCounts, Protocol
from facecure.report.summary import summarise
from facecure.runs.environment import environment
from facecure.threads import thread_limit
from facecure.types import Outcome, ProtocolName, Sample
from facecure.zoo.find import find_detector, find_extractor


def evaluate(
    clean: str | os.PathLike[str],
    cloaked: Mapping[str, str | os.PathLike[str]],
    *,
    extractors: Sequence[str | os.PathLike[str] | Extractor],
    distractors: Sequence[str | os.PathLike[str]] = (),
    unprotected: Mapping[str, str | os.PathLike[str]] | None = None,
    detector: str | os.PathLike[str] | None = None,
    protocol: ProtocolName = "corrected",
    recogniser: RecogniserName = "nn",
    scenario: Scenario = "baseline",
    training: Training | None = None,
    repeats: int | None = None,
    seed: int = 0,
    keep: str | os.PathLike[str] | None = None,
    runtime: str | None = None,
    precision: Precision = "fp32",
    threads: int = 0,
    device: str = "cpu",
    progress: Progress = silent,
) -> Report:
    """Return the protection rates of every cloak against every extractor, with counts, intervals and clean errors.

    `clean` is a folder `<identity>/<picture>` or a manifest (CSV or Parquet with identity, path and optionally key);
    `cloaked` maps a cloak's name to the folder of its pictures; `unprotected` to that of its clean counterparts where
    they differ from `clean`. People in `distractors` are enrolled and never searched. `extractors` are spec files,
    names of the zoo or objects with `embed`; `detector` is a YuNet ONNX file or "yunet" of the zoo (default:
    FACECURE_DETECTOR), needed where an extractor aligns.
    `recogniser` is "nn", "linear" or "end-to-end", which fine-tunes each extractor's torch network as `training` says,
    once per protected identity and split. `scenario` is "baseline", "oblivious", for which every extractor states its
    year, or "adaptive", for extractors of `train_robust` and people whom these have not seen.
    `repeats` is the number of random splits, default 10 (facecure-2021 has one). `runtime` and `precision` say what
    executes extractors, "auto" the fastest certified one, None what their weights need by themselves. `keep` is a
    folder for embeddings, so that a repeated run computes none twice. `threads` 0 = all available. `device` is where
    extractors and identification run, "cpu" or torch's name of another one.

    Raises `InputError`, `MissingDependency` or `DigestMismatch` before any long work where that is possible.
    """
    if protocol not in NOTES:
        raise InputError(f"protocol is one of {', '.join(NOTES)}, not {protocol!r}")
    if recogniser not in RECOGNISERS:
        raise InputError(f"recogniser is one of {', '.join(RECOGNISERS)}, not {recogniser!r}")
    if repeats is None:
        repeats = 1 if protocol == "facecure-2021" else 10
    if repeats < 1:
        raise InputError(f"repeats must be 1 or more, not {repeats}")
    if not cloaked:
        raise InputError("name at least one cloak: its name and the folder with its pictures")
    if device != "cpu":
        torch_device(device)  # what is not there fails before any work
    execution = Execution(runtime, precision, device, threads, progress=progress)
    started = time.perf_counter()
    ready = [e if not isinstance(e, (str, os.PathLike)) else find_extractor(e, execution) for e in extractors]
    check_extractors(ready)
    specs = [extractor.spec for extractor in ready]
    check_scenario(scenario, specs)
    finder = find_detector(detector)
    sets = read_sets(
        Path(clean),
        {name: Path(folder) for name, folder in cloaked.items()},
        {name: Path(folder) for name, folder in (unprotected or {}).items()},
        [Path(folder) for folder in distractors],
    )
    protected = {sample.identity for sample in sets.samples if sample.role == "cloaked"}
    strangers = {sample.identity for sample in sets.samples} - protected
    check_others(sets.samples)
    warnings = check_identities(specs, protected, strangers)
    seconds = {"list pictures, load extractors": time.perf_counter() - started}

    columns = [*ready, Thumbnail()]
    table = embed(sets.samples, columns, finder, execution, store=Path(keep) if keep else None)
    shown = contents(table)
    usable, dropped = usable_rows(table.samples, shown, protocol)
    samples, shown = [table.samples[row] for row in usable], [shown[row] for row in usable]
    excluded = [*sets.excluded, *table.excluded, *dropped, *never_cloaked(sets.samples, samples)]
    check_others(samples, excluded)
    bare = uncloaked(samples, shown)
    *vectors, thumbnails = [e.of(x.digest) for e, x in zip(table.embeddings, columns, strict=True)]
    suspects = find_suspects(sets.samples, samples, shown, bare, vectors, thumbnails, usable)
    warnings += [
        *sets.warnings,
        *_warnings(ready, protocol, repeats),
        *uneven_exclusions(sets.samples, [*table.excluded, *dropped]),
        *told(suspects),
    ]
    seconds |= table.seconds

    splits = [
        make_split(samples, list(cloaked), protocol, seed, repeat, last=_last(recogniser, protocol))
        for repeat in range(1 if protocol == "facecure-2021" else repeats)
    ]
    source = {name: name for name in cloaked}  # of cells' names; what is not cloaked is counted, and left out beside it
    for name, rows in bare.items():
        cleaned = f"{name} without its uncloaked"
        source[cleaned] = name
        splits = [split.leaving_out(name, rows, cleaned) for split in splits]
    beside = {name: others(splits, samples, name) for name in source}
    warnings += [warning for name in cloaked for warning in few_others(name, beside[name])]
    named = {cloak: {s.identity for s in sets.samples if s.role == "cloaked" and s.cloak == cloak} for cloak in cloaked}
    cells: list[CellResult] = []
    outcomes: dict[tuple[str, str], list[list[Outcome]]] = {}
    facts: dict[str, Any] = {}
    for number, (extractor, embedded) in enumerate(zip(ready, vectors, strict=True)):
        started = time.perf_counter()
        spec = extractor.spec
        search: Recogniser
        if recogniser == "nn":
            search = NearestNeighbour(embedded[usable], device)
        elif recogniser == "linear":
            from facecure.recognisers.linear import Linear

            search = Linear(embedded[usable], protocol)
        else:
            hashes = [table.sha256[row] for row in usable]
            search = _end_to_end(extractor, samples, hashes, finder, training, keep, threads, device, progress)
        for done, split in enumerate(splits, 1):
            with thread_limit(threads):  # a recogniser takes no number
                answers = search(split)
            for name, found in answers.items():
                outcomes.setdefault((name, spec.name), []).append(found)
            progress("identification", number * len(splits) + done, len(ready) * len(splits))
        cells += [
            summarise(
                outcomes[name, spec.name],
                samples,
                CellKey(
                    cloak=name, extractor=spec.name, protocol=protocol, recogniser=recogniser, scenario=scenario,
                    year=spec.year, white_box=white_box(own, Path(cloaked[own]), spec, _full_digest(extractor)),
                ),
                named=named[own], seed=seed, contents=shown, others=beside[name],
                uncloaked=[str(samples[row].path) for row in bare.get(name, [])],
            )
            for name, own in source.items()
        ]  # fmt: skip
        facts[spec.name] = search.facts
        warnings += [f"{file} is damaged; what it kept was computed again" for file in search.facts.get("damaged", ())]
        seconds[f"identify {spec.name}"] = time.perf_counter() - started
    names = list(source)
    cells.sort(key=lambda cell: (names.index(cell.cloak), (cell.year or 0) if scenario == "oblivious" else 0))
    return Report(
        cells=tuple(cells),
        protocol=Protocol(protocol, len(splits), seed, NOTES[protocol]),
        pictures={name: PictureCounts(**counts) for name, counts in count_pictures(samples, sets.samples).items()},
        excluded=tuple(excluded),
        warnings=tuple(warnings),
        environment=Environment(
            **environment(),
            extractors=tuple(extractor.what_ran for extractor in ready),
            detector=None if finder is None else DetectorRan(str(finder.file), finder.sha256, finder.digest),
            identification_device=device,
            recognisers=facts,
            seconds={stage: round(value, 3) for stage, value in seconds.items()},
        ),
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        comparisons=compare_all({cell: o for cell, o in outcomes.items() if cell[0] in cloaked}, samples),
        suspects=tuple(suspects),
    )


def _last(recogniser: RecogniserName, protocol: ProtocolName) -> bool:
    """Return whether probes are the last pictures by name, as in the released end-to-end code (Q24)."""
    return recogniser == "end-to-end" and protocol == "facecure-2021"


def _full_digest(extractor: Extractor) -> str:
    """Return the digest in float32, by which surrogates are named, whatever the precision here."""
    sha256 = extractor.what_ran.get("weights_sha256")
    return extractor.digest if sha256 is None else extractor.spec.digest(sha256)


def _end_to_end(
    extractor: Extractor, samples: Sequence[Sample], contents: Sequence[str], finder: Detector | None,
    training: Training | None, keep: str | os.PathLike[str] | None, threads: int, device: str, progress: Progress,
) -> Recogniser:  # fmt: skip
    """Return the recogniser that trains the extractor's own network on the usable samples' faces."""
    from facecure.recognisers.end_to_end import EndToEnd

    spec = extractor.spec
    network, _ = load_network(spec)
    aligned = finder if spec.geometry.found else None
    kept, faces, _ = stack_faces(
        samples, spec.geometry, aligned, Execution(threads=threads, progress=progress), f"faces of {spec.name}"
    )
    if len(kept) != len(samples):
        raise InputError("pictures changed while they were evaluated; run again")
    return EndToEnd(
        spec, network, faces.pixels, contents, training or Training(), digest=_full_digest(extractor),
        device=torch_device(device), keep=None if keep is None else Path(keep) / "end-to-end",
        progress=lambda done, total: progress(f"training of {spec.name}", done, total),
    )  # fmt: skip


def _warnings(extractors: Sequence[Extractor], protocol: ProtocolName, repeats: int) -> list[str]:
    found = [
        f"extractor {e.spec.name}: its spec gives no sha256, so nothing proves that {e.spec.weights.name} is the "
        f"published file (found {e.what_ran.get('weights_sha256', 'unknown')})"
        for e in extractors
        if e.spec.sha256 is None
    ]
    found += [
        f"extractor {e.spec.name}: its publisher gives no checksum; {e.spec.weights.name} is the file that came here "
        f"first ({e.spec.sha256})"
        for e in extractors
        if e.spec.sha256_from == "first use"
    ]
    if protocol == "facecure-2021" and repeats > 1:
        found.append(f"facecure-2021 has exactly one split; the {repeats} asked for were not made")
    return found

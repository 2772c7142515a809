"""The one composer: pictures → faces → embeddings → protocol → report."""

from __future__ import annotations

import os
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from facecure.embed import EmbeddingTable, Extractor, Progress, check_extractors, embed
from facecure.environment import environment
from facecure.errors import InputError
from facecure.extractors.runtimes import Runtime
from facecure.extractors.spec import Precision
from facecure.kernels.device import torch_device
from facecure.pictures.manifest import read_sets
from facecure.protocols.paired import paired_rows
from facecure.protocols.population import population
from facecure.protocols.split import make_split
from facecure.protocols.summary import summarise
from facecure.types import Cell, Exclusion, Outcome, ProtocolName, Report, Sample
from facecure.zoo.find import find_detector, find_extractor

_NOTES: dict[str, tuple[str, ...]] = {
    "corrected": (
        "one split per identity, drawn from its own picture names: nobody's split depends on other people (§7.1, §7.2)",
        "several splits instead of one",
        "clean and cloaked pictures pair by exact stem, never by position or substring (Q13, Q21, Q23)",
        "the clean baseline is measured on the same probes, not on other people (§7.6)",
    ),
    "facecure-2021": (
        "splits of the released code: random.seed(10), running over identities for other people, re-seeded for each "
        "protected identity (§7.1, §7.2)",
        "pairing is by exact stem; for the study's sha1 names that equals the released sorted positions",
        "one split: its interval omits the split's own variance",
    ),
}


def evaluate(
    clean: str | os.PathLike[str],
    cloaked: Mapping[str, str | os.PathLike[str]],
    *,
    extractors: Sequence[str | os.PathLike[str] | Extractor],
    distractors: Sequence[str | os.PathLike[str]] = (),
    unprotected: Mapping[str, str | os.PathLike[str]] | None = None,
    detector: str | os.PathLike[str] | None = None,
    protocol: ProtocolName = "corrected",
    repeats: int | None = None,
    seed: int = 0,
    keep: str | os.PathLike[str] | None = None,
    runtime: Runtime | Literal["auto"] | None = None,
    precision: Precision = "fp32",
    threads: int = 0,
    device: str = "cpu",
    progress: Progress = lambda stage, done, total: None,
) -> Report:
    """Return the protection rates of every cloak against every extractor, with counts, intervals and clean errors.

    `clean` is a folder `<identity>/<picture>` or a manifest (CSV or Parquet with identity, path and optionally key);
    `cloaked` maps a cloak's name to the folder of its pictures; `unprotected` to that of its clean counterparts where
    they differ from `clean`. People in `distractors` are enrolled and never searched. `extractors` are spec files,
    names of the zoo or objects with `embed`; `detector` is a YuNet ONNX file or "yunet" of the zoo (default:
    FACECURE_DETECTOR), needed where an extractor aligns.
    `repeats` is the number of random splits, default 10 (facecure-2021 has one). `runtime` and `precision` say what
    executes extractors, "auto" the fastest certified one, None what their weights need by themselves. `keep` is a
    folder for embeddings, so that a repeated run computes none twice. `threads` 0 = all CPUs. `device` is where
    extractors and identification run, "cpu" or torch's name of another one.

    Raises `InputError`, `MissingDependency` or `DigestMismatch` before any long work where that is possible.
    """
    if protocol not in _NOTES:
        raise InputError(f"protocol is one of {', '.join(_NOTES)}, not {protocol!r}")
    if repeats is None:
        repeats = 1 if protocol == "facecure-2021" else 10
    if repeats < 1:
        raise InputError(f"repeats must be 1 or more, not {repeats}")
    if not cloaked:
        raise InputError("name at least one cloak: its name and the folder with its pictures")
    if device != "cpu":
        torch_device(device)  # what is not there fails before any work
    started = time.perf_counter()
    ready = [
        e
        if not isinstance(e, (str, os.PathLike))
        else find_extractor(e, runtime, precision, threads=threads, device=device)
        for e in extractors
    ]
    check_extractors(ready)
    finder = find_detector(detector)
    sets = read_sets(
        Path(clean),
        {name: Path(folder) for name, folder in cloaked.items()},
        {name: Path(folder) for name, folder in (unprotected or {}).items()},
        [Path(folder) for folder in distractors],
    )
    seconds = {"list pictures, load extractors": time.perf_counter() - started}

    table = embed(sets.samples, ready, finder, store=Path(keep) if keep else None, threads=threads, progress=progress)
    usable, dropped = _usable(table)
    samples = [table.samples[row] for row in usable]
    excluded = [*sets.excluded, *table.excluded, *dropped, *_never_cloaked(sets.samples, samples)]
    warnings = [
        *sets.warnings,
        *_warnings(ready, protocol, repeats),
        *_uneven(sets.samples, [*table.excluded, *dropped]),
    ]
    seconds |= table.seconds

    splits = 1 if protocol == "facecure-2021" else repeats
    cells: list[Cell] = []
    names = list(cloaked)
    for number, (extractor, embeddings) in enumerate(zip(ready, table.embeddings, strict=True)):
        started = time.perf_counter()
        outcomes: dict[str, list[list[Outcome]]] = {name: [] for name in names}
        vectors = embeddings.vectors[usable]
        for repeat in range(splits):
            found = population(vectors, make_split(samples, names, protocol, seed, repeat), device=device)
            for name in names:
                outcomes[name].append(found[name])
            progress("identification", number * splits + repeat + 1, len(ready) * splits)
        cells += [
            summarise(outcomes[name], samples, cloak=name, extractor=extractor.spec.name, protocol=protocol, seed=seed)
            for name in names
        ]
        seconds[f"identify {extractor.spec.name}"] = time.perf_counter() - started
    cells.sort(key=lambda cell: names.index(cell.cloak))
    return Report(
        cells=tuple(cells),
        protocol={"name": protocol, "splits": splits, "seed": seed, "notes": list(_NOTES[protocol])},
        pictures=_pictures(samples, sets.samples),
        excluded=tuple({"path": str(e.path), "reason": e.reason} for e in excluded),
        warnings=tuple(warnings),
        environment=environment()
        | {
            "extractors": [extractor.what_ran for extractor in ready],
            "detector": None
            if finder is None
            else {"file": str(finder.file), "sha256": finder.sha256, "digest": finder.digest},
            "identification_device": device,
            "seconds": {stage: round(value, 3) for stage, value in seconds.items()},
        },
    )


def _usable(table: EmbeddingTable) -> tuple[list[int], list[Exclusion]]:
    """Return the rows that take part, and what content and lost partners exclude.

    The same bytes under two identities say nothing about either; a cloaked picture without its clean one cannot be
    placed in a split.
    """
    people: dict[str, set[str]] = defaultdict(set)
    for sample, sha256 in zip(table.samples, table.sha256, strict=True):
        people[sha256].add(sample.identity)
    excluded: list[Exclusion] = []
    rows: list[int] = []
    for row, (sample, sha256) in enumerate(zip(table.samples, table.sha256, strict=True)):
        if others := people[sha256] - {sample.identity}:
            excluded.append(Exclusion(sample.path, f"duplicate: the same file lies under {', '.join(sorted(others))}"))
        else:
            rows.append(row)
    rows, unpaired = paired_rows(table.samples, rows)
    return rows, [*excluded, *unpaired]


def _never_cloaked(named: Sequence[Sample], usable: Sequence[Sample]) -> list[Exclusion]:
    """Return the usable clean pictures of cloaked people that came without a cloaked counterpart."""
    excluded = []
    for cloak in dict.fromkeys(s.cloak for s in named if s.role == "cloaked"):
        found = {(s.identity, s.key) for s in named if s.role == "cloaked" and s.cloak == cloak}
        names = {identity for identity, _ in found}
        excluded += [
            Exclusion(s.path, f"unpaired: no {cloak} counterpart, so not enrolled while that protects {s.identity}")
            for s in usable
            if s.role == "clean" and s.identity in names and (s.identity, s.key) not in found
        ]
    return excluded


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


def _uneven(samples: Sequence[Sample], excluded: Sequence[Exclusion]) -> list[str]:
    """Return one warning per cloak whose pictures were excluded more or less often than their clean ones."""
    lost = {e.path for e in excluded}
    clean_lost = {(s.identity, s.key) for s in samples if s.role == "clean" and s.path in lost}
    warnings = []
    for cloak in dict.fromkeys(s.cloak for s in samples if s.role == "cloaked"):
        group = [s for s in samples if s.role == "cloaked" and s.cloak == cloak]
        only = sum(s.path in lost and (s.identity, s.key) not in clean_lost for s in group)
        if only:
            warnings.append(
                f"{cloak}: {only} of {len(group)} cloaked pictures were excluded although their clean ones are usable; "
                "they are missing from the galleries, with and without the cloak"
            )
    return warnings


def _pictures(usable: Sequence[Sample], named: Sequence[Sample]) -> dict[str, Any]:
    """Return counts per set of pictures: identities and pictures that take part, of how many found by name."""

    def label(sample: Sample) -> str:
        return f"{sample.role} {sample.cloak}".strip()

    totals = Counter(map(label, named))
    used = Counter(map(label, usable))
    people: dict[str, set[str]] = defaultdict(set)
    for sample in usable:
        people[label(sample)].add(sample.identity)
    return {name: {"identities": len(people[name]), "pictures": used[name], "found": totals[name]} for name in totals}

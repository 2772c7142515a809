"""What the software tells, without photos, network or weights of anybody: synthetic people through the whole way."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from facecure.certificates.verdicts import clean_verdicts
from facecure.cloaks.options import CloakOptions
from facecure.commands.cloak import cloak
from facecure.commands.study import run_study
from facecure.embeddings.pipeline import embed
from facecure.execution import Execution, Progress, silent
from facecure.extractors.packaged import packaged_specs, packaged_surrogate
from facecure.extractors.runtimes import open_extractor
from facecure.extractors.spec import read_spec
from facecure.pictures.manifest import read_samples
from facecure.pictures.synthetic import write_people
from facecure.protocols.split import make_split
from facecure.report.demo import CleanResult, Demo
from facecure.report.model import Rate
from facecure.report.sheets import cloak_sheet, contact_sheet
from facecure.runs.atomic import write_whole
from facecure.study import PictureSources, Study

PEOPLE, PICTURES, SPLITS = 30, 12, 10
PROTECTED = 5  # of the people, the first ones
TARGETS, TARGET_PICTURES = 25, 4  # other people, whom Fawkes v0.3 aims at
CLOAKS = {"fawkes-v0.3": "fawkes-v0.3:low", "fawkes-v1.0": "fawkes-v1.0:high", "lowkey": "lowkey"}
SURROGATE = "plain"  # stem of the packaged extractor that the cloaks are made against


def run_demo(out: Path, *, seed: int = 0, progress: Progress = silent) -> Demo:
    """Return who is identified among synthetic people by the packaged extractors, without cloaks and with them.

    Writes `pictures/<person>/<picture>.jpg`, a folder per cloak, `contact_sheet.png` and `cloaks.png` under `out`; goes
    the way that own photos would go: files, faces, cloaks, embeddings, splits. Run again, it continues.
    """
    pictures, protected, others = out / "pictures", out / "protected.csv", out / "targets"
    write_people(pictures, PEOPLE, PICTURES, seed, progress)
    write_people(others, TARGETS, TARGET_PICTURES, seed + 1, progress)
    extractors = [open_extractor(read_spec(spec)) for spec in packaged_specs()]
    table = embed(
        read_samples(pictures)[0], extractors, execution=Execution(progress=progress), store=out / "embeddings"
    )
    splits = [make_split(table.samples, [], "corrected", seed, repeat) for repeat in range(SPLITS)]
    identified = [
        np.concatenate([clean_verdicts(embeddings, split).identified for split in splits])
        for embeddings in table.embeddings
    ]  # per extractor: (probes,)
    results = tuple(
        CleanResult(extractor.spec.name, Rate(len(hits) - int(hits.sum()), len(hits)))
        for extractor, hits in zip(extractors, identified, strict=True)
    )
    sheet, cloaks = out / "contact_sheet.png", out / "cloaks.png"
    contact_sheet(table, splits[0], identified[0][: len(splits[0].controls)], PICTURES).save(sheet)
    surrogate = next(packaged_surrogate(spec) for spec in packaged_specs() if spec.stem == SURROGATE)
    people = sorted(folder.name for folder in pictures.iterdir())[:PROTECTED]
    files = [f"{person},{pictures.name}/{person}/{k:02d}.jpg" for person in people for k in range(PICTURES)]
    write_whole(protected, "\n".join(["identity,path", *files, ""]))
    for short, name in CLOAKS.items():

        def told(stage: str, done: int, total: int, short: str = short) -> None:
            progress(f"{short}: {stage}", done, total)

        cloak(
            protected,
            name,
            surrogates=[surrogate],
            out=out / short,
            targets=others,
            options=CloakOptions(lpips="none", seed=seed),  # LPIPS' networks are not ours to ship
            execution=Execution(progress=told),
        )
    cloak_sheet(people, out, CLOAKS).save(cloaks)
    sources = PictureSources.of(
        pictures,
        {short: out / short / "manifest.csv" for short in CLOAKS},
        {short: out / short / "clean" for short in CLOAKS},
    )
    study = Study(pictures=sources, extractors=extractors, repeats=SPLITS, seed=seed)
    report = run_study(study, store=out / "embeddings", execution=Execution(progress=progress))
    agreed = np.sum(identified, axis=0)
    disputed = int(((agreed > 0) & (agreed < len(identified))).sum())
    return Demo(results, disputed, int((agreed == 0).sum()), surrogate.name, report, pictures, sheet, cloaks)

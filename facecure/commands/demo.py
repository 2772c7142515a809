"""What the software tells, without photos, network or weights of anybody: synthetic people through the whole way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from facecure.cloaks.options import CloakOptions
from facecure.commands.cloak import cloak
from facecure.commands.study import run_study
from facecure.embeddings.pipeline import embed
from facecure.embeddings.table import EmbeddingTable
from facecure.execution import Execution, Progress, silent
from facecure.extractors.packaged import packaged_specs, packaged_surrogate
from facecure.extractors.runtimes import open_extractor
from facecure.extractors.spec import read_spec
from facecure.pictures.manifest import read_samples
from facecure.pictures.synthetic import make_person, render
from facecure.protocols.split import Split, make_split
from facecure.report.model import Rate, Report
from facecure.runs.atomic import write_whole, writing
from facecure.search.masked import rivals
from facecure.study import PictureSources, Study
from facecure.types import I64, Bool

PEOPLE, PICTURES, SPLITS = 30, 12, 10
PROTECTED = 5  # of the people, the first ones
TARGETS, TARGET_PICTURES = 25, 4  # other people, whom Fawkes v0.3 aims at
CLOAKS = {"fawkes-v0.3": "fawkes-v0.3:low", "fawkes-v1.0": "fawkes-v1.0:high", "lowkey": "lowkey"}
SURROGATE = "plain"  # stem of the packaged extractor that the cloaks are made against
_SHOWN = 10  # people on the contact sheet
_FRAMES = {"enrolled": (128, 128, 128), "identified": (40, 160, 60), "missed": (220, 40, 40)}


@dataclass(frozen=True, slots=True)
class CleanResult:
    """How often one extractor identifies people by clean pictures: hits are the probes it misses."""

    extractor: str
    error: Rate


@dataclass(frozen=True, slots=True)
class Demo:
    """A finished demo: clean results per extractor, and the protection rates of the cloaks made in it.

    `disputed` counts probes identified by some extractors but not all, `missed_by_all` those by none; `surrogate` names
    the extractor the cloaks were made against, for which their rates are no evidence.
    """

    results: tuple[CleanResult, ...]
    disputed: int
    missed_by_all: int
    surrogate: str
    report: Report
    pictures: Path
    sheet: Path
    cloaks: Path


def run_demo(out: Path, *, seed: int = 0, progress: Progress = silent) -> Demo:
    """Return who is identified among synthetic people by the packaged extractors, without cloaks and with them.

    Writes `pictures/<person>/<picture>.jpg`, a folder per cloak, `contact_sheet.png` and `cloaks.png` under `out`; goes
    the way that own photos would go: files, faces, cloaks, embeddings, splits. Run again, it continues.
    """
    pictures, protected, others = out / "pictures", out / "protected.csv", out / "targets"
    _write_people(pictures, PEOPLE, PICTURES, seed, progress)
    _write_people(others, TARGETS, TARGET_PICTURES, seed + 1, progress)
    extractors = [open_extractor(read_spec(spec)) for spec in packaged_specs()]
    table = embed(
        read_samples(pictures)[0], extractors, execution=Execution(progress=progress), store=out / "embeddings"
    )
    splits = [make_split(table.samples, [], "corrected", seed, repeat) for repeat in range(SPLITS)]
    identified = [_identified(table, number, splits) for number in range(len(extractors))]  # per extractor: (probes,)
    results = tuple(
        CleanResult(extractor.spec.name, Rate(len(hits) - int(hits.sum()), len(hits)))
        for extractor, hits in zip(extractors, identified, strict=True)
    )
    sheet, cloaks = out / "contact_sheet.png", out / "cloaks.png"
    _contact_sheet(table, splits[0], identified[0][: len(splits[0].controls)]).save(sheet)
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
    _cloak_sheet(people, out).save(cloaks)
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


def _write_people(folder: Path, people: int, pictures: int, seed: int, progress: Progress) -> None:
    for number in range(people):
        person = make_person(number, seed)
        home = folder / f"person_{number:02d}"
        with writing(home):
            home.mkdir(parents=True, exist_ok=True)
            for picture in range(pictures):
                Image.fromarray(render(person, picture).pixels).save(home / f"{picture:02d}.jpg", quality=85)
        progress(f"synthetic people: {folder.name}", number + 1, people)


def _identified(table: EmbeddingTable, number: int, splits: Sequence[Split]) -> Bool:
    """Return bool (probes of all splits,): is the nearest enrolled picture one of the same person?"""
    vectors = table.embeddings[number].vectors
    hits = []
    for split in splits:
        nearest = rivals(vectors[split.controls], split.control_labels, vectors[split.enrolled], split.enrolled_labels)
        hits.append(nearest.mate.beats(nearest.impostor))
    return np.concatenate(hits)


def _contact_sheet(table: EmbeddingTable, split: Split, identified: Bool) -> Image.Image:
    """Return the first people's pictures: enrolled ones in grey, probes in green where identified, red where not."""
    frames = dict.fromkeys(split.enrolled.tolist(), "enrolled")
    frames |= {
        row: "identified" if hit else "missed"
        for row, hit in zip(split.controls.tolist(), identified.tolist(), strict=True)
    }
    side, edge, top = 112, 4, 22
    sheet = Image.new("RGB", (PICTURES * (side + 2 * edge), top + _SHOWN * (side + 2 * edge)), "white")
    draw = ImageDraw.Draw(sheet)
    legend = "grey: in the gallery    green: clean probe, identified    red: clean probe, taken for somebody else"
    draw.text((6, 5), f"{legend}    (first extractor, first split)", fill="black")
    names = sorted({sample.identity for sample in table.samples})[:_SHOWN]
    places = dict.fromkeys(names, 0)
    for row, sample in enumerate(table.samples):
        if sample.identity in places:
            x, y = places[sample.identity] * (side + 2 * edge), top + names.index(sample.identity) * (side + 2 * edge)
            places[sample.identity] += 1
            draw.rectangle((x, y, x + side + 2 * edge - 1, y + side + 2 * edge - 1), fill=_FRAMES[frames[row]])
            with Image.open(sample.path) as picture:
                sheet.paste(picture, (x + edge, y + edge))
    return sheet


def _cloak_sheet(people: Sequence[str], out: Path) -> Image.Image:
    """Return one picture of each protected person: before, after each cloak, and the change four times as strong."""
    side, gap, top = 168, 6, 22
    headings = ["clean", *(f"{CLOAKS[short]}{tail}" for short in CLOAKS for tail in ("", ": change x 4"))]
    sheet = Image.new("RGB", (len(headings) * (side + gap), top + len(people) * (side + gap)), "white")
    draw = ImageDraw.Draw(sheet)
    for column, heading in enumerate(headings):
        draw.text((column * (side + gap) + 4, 5), heading, fill="black")
    for row, person in enumerate(people):
        shown: list[I64] = []
        for short in CLOAKS:
            (cloaked,) = (out / short / "cloaked" / person).glob("00_*.png")
            (clean,) = (out / short / "clean" / person).glob("00_small.png")
            before, after = (np.asarray(Image.open(file), np.int64) for file in (clean, cloaked))
            shown += [before] * (not shown) + [after, np.clip(128 + 4 * (after - before), 0, 255)]
        for column, pixels in enumerate(shown):
            face = Image.fromarray(pixels.astype(np.uint8)).resize((side, side))
            sheet.paste(face, (column * (side + gap), top + row * (side + gap)))
    return sheet

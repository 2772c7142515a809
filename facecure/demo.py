"""What the software tells, without photos, network or weights of anybody: synthetic people through the whole way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from facecure.embed import EmbeddingTable, Progress, embed
from facecure.extractors.packaged import packaged_specs
from facecure.extractors.runtimes import open_extractor
from facecure.extractors.spec import read_spec
from facecure.pictures.manifest import read_samples
from facecure.pictures.synthetic import make_person, render
from facecure.protocols.split import Split, make_split
from facecure.protocols.statistics import wilson
from facecure.search.masked import rivals
from facecure.types import Bool

PEOPLE, PICTURES, SPLITS = 30, 12, 10
_SHOWN = 10  # people on the contact sheet
_FRAMES = {"enrolled": (128, 128, 128), "identified": (40, 160, 60), "missed": (220, 40, 40)}


@dataclass(frozen=True, slots=True)
class CleanResult:
    """How often one extractor identifies people by clean pictures, with Wilson's interval."""

    extractor: str
    probes: int
    identified: int
    interval: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class Demo:
    """A finished demo: results per extractor, probes identified by some extractors but not all, and by none."""

    results: tuple[CleanResult, ...]
    disputed: int
    missed_by_all: int
    pictures: Path
    sheet: Path


def run_demo(out: Path, *, seed: int = 0, progress: Progress = lambda stage, done, total: None) -> Demo:
    """Return who is identified among synthetic people by the packaged extractors, by 1-NN over ten splits.

    Writes `pictures/<person>/<picture>.jpg` and `contact_sheet.png` under `out`; then goes the way that own photos
    would go: files, faces, embeddings, splits.
    """
    pictures = out / "pictures"
    _write_people(pictures, seed, progress)
    extractors = [open_extractor(read_spec(spec)) for spec in packaged_specs()]
    table = embed(read_samples(pictures)[0], extractors, store=out / "embeddings", progress=progress)
    splits = [make_split(table.samples, [], "corrected", seed, repeat) for repeat in range(SPLITS)]
    found = [_identified(table, number, splits) for number in range(len(extractors))]  # per extractor: (probes,)
    results = tuple(
        CleanResult(extractor.spec.name, len(hits), int(hits.sum()), wilson(int(hits.sum()), len(hits)))
        for extractor, hits in zip(extractors, found, strict=True)
    )
    sheet = out / "contact_sheet.png"
    _contact_sheet(table, splits[0], found[0][: len(splits[0].controls)]).save(sheet)
    agreed = np.sum(found, axis=0)
    disputed = int(((agreed > 0) & (agreed < len(found))).sum())
    return Demo(results, disputed, int((agreed == 0).sum()), pictures, sheet)


def _write_people(folder: Path, seed: int, progress: Progress) -> None:
    for number in range(PEOPLE):
        person = make_person(number, seed)
        home = folder / f"person_{number:02d}"
        home.mkdir(parents=True, exist_ok=True)
        for picture in range(PICTURES):
            Image.fromarray(render(person, picture).pixels).save(home / f"{picture:02d}.jpg", quality=85)
        progress("synthetic people", number + 1, PEOPLE)


def _identified(table: EmbeddingTable, number: int, splits: Sequence[Split]) -> Bool:
    """Return bool (probes of all splits,): is the nearest enrolled picture one of the same person?"""
    vectors = table.embeddings[number].vectors
    hits = []
    for split in splits:
        found = rivals(vectors[split.controls], split.control_labels, vectors[split.enrolled], split.enrolled_labels)
        hits.append(found.mate.beats(found.impostor))
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

"""Sheets of pictures: who is identified, and what cloaks look like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from facecure.embeddings.table import EmbeddingTable
from facecure.protocols.split import Split
from facecure.types import I64, Bool

_SHOWN = 10  # people on the contact sheet
_FRAMES = {"enrolled": (128, 128, 128), "identified": (40, 160, 60), "missed": (220, 40, 40)}


def contact_sheet(table: EmbeddingTable, split: Split, identified: Bool, columns: int) -> Image.Image:
    """Return the first people's pictures: enrolled ones in grey, probes in green where identified, red where not.

    `columns` is the number of pictures of each, `identified` bool (controls of the split,).
    """
    frames = dict.fromkeys(split.enrolled.tolist(), "enrolled")
    frames |= {
        row: "identified" if hit else "missed"
        for row, hit in zip(split.controls.tolist(), identified.tolist(), strict=True)
    }
    side, edge, top = 112, 4, 22
    sheet = Image.new("RGB", (columns * (side + 2 * edge), top + _SHOWN * (side + 2 * edge)), "white")
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


def cloak_sheet(people: Sequence[str], out: Path, cloaks: Mapping[str, str]) -> Image.Image:
    """Return one picture of each protected person: before, after each cloak, and the change four times as strong.

    `cloaks` maps the folder of a run below `out` to the name of its cloak.
    """
    side, gap, top = 168, 6, 22
    headings = ["clean", *(f"{cloaks[short]}{tail}" for short in cloaks for tail in ("", ": change x 4"))]
    sheet = Image.new("RGB", (len(headings) * (side + gap), top + len(people) * (side + gap)), "white")
    draw = ImageDraw.Draw(sheet)
    for column, heading in enumerate(headings):
        draw.text((column * (side + gap) + 4, 5), heading, fill="black")
    for row, person in enumerate(people):
        shown: list[I64] = []
        for short in cloaks:
            (cloaked,) = (out / short / "cloaked" / person).glob("00_*.png")
            (clean,) = (out / short / "clean" / person).glob("00_small.png")
            before, after = (np.asarray(Image.open(file), np.int64) for file in (clean, cloaked))
            shown += [before] * (not shown) + [after, np.clip(128 + 4 * (after - before), 0, 255)]
        for column, pixels in enumerate(shown):
            face = Image.fromarray(pixels.astype(np.uint8)).resize((side, side))
            sheet.paste(face, (column * (side + gap), top + row * (side + gap)))
    return sheet

"""Cloaked pictures on disk: faces, or whole photos once all their faces are done; read back and measured."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from facecure.cloaks.apply.batch import quantised
from facecure.cloaks.apply.fitting import Fitting, SourceFace
from facecure.cloaks.apply.ledger import Ledger
from facecure.cloaks.apply.measure import MEASURES, combined, measured
from facecure.cloaks.apply.output import CloakOutput, encoded
from facecure.pictures.align import cut_face
from facecure.pictures.decode import decode
from facecure.pictures.metadata import Metadata
from facecure.types import F32, U8, FaceGeometry, Sample

COLUMNS = (
    "identity", "path", "key", "cloak", "target", "faces", "source", "source_sha256", "sha256", "clean", *MEASURES,
    "note",
)  # fmt: skip
_LONGEST = 255  # bytes of a file's name, on all common file systems
_STRIP = 512  # rows of a photo that are in float32 at a time


class Writer:
    """Writes cloaked faces, each to `cloaked/<identity>/` with the clean one in `clean/<identity>/`; or whole photos.

    A photo is upright and keeps its source's colour profile. With `keep_exif` it keeps where it was taken, when and
    with what, except what of it cannot be written again, of which the row has a note.
    """

    def __init__(self, ledger: Ledger, output: CloakOutput) -> None:
        self.written = 0
        self._ledger, self._output = ledger, output
        # per unfinished photo: its cloaked faces so far, each with the change of its square
        self._open: dict[tuple[str, str], list[tuple[SourceFace, F32]]] = defaultdict(list)

    def nameless(self, fitting: Fitting, sample: Sample) -> str:
        """Return why a sample's files cannot have their names; empty where they can."""
        names = [sample.identity, self._name(fitting, sample), *([] if fitting.whole else [_clean_name(sample)])]
        longest = max(len(name.encode()) for name in names)
        if longest <= _LONGEST:
            return ""
        return f"name too long: {longest} bytes with what is added to it, beyond {_LONGEST}; rename it shorter"

    def put(self, fitting: Fitting, face: SourceFace, cloaked: U8, target: str) -> None:
        """Take a cloaked face, uint8 (H, W, 3) RGB, and write its picture if that is complete."""
        place = face.place
        if place is None:
            clean = Path("clean", face.sample.identity, _clean_name(face.sample))
            self._ledger.write(clean, encoded(face.pixels, "png"))
            self._write(fitting, cloaked, [face], target, str(clean))
            return
        name = face.sample.identity, face.sample.key
        self._open[name].append((face, fitting.change(face, cloaked)))
        if len(self._open[name]) < place.faces:
            return
        faces_and_changes = self._open.pop(name)
        pixels = place.photo.astype(np.float32)
        for part, change in faces_and_changes:
            assert part.place is not None
            part.place.frame.add(pixels, change)
        levels = np.empty_like(place.photo)
        for top in range(0, len(pixels), _STRIP):
            strip = pixels[None, top : top + _STRIP].transpose(0, 3, 1, 2)
            levels[top : top + _STRIP] = quantised(strip, truncate=fitting.cloak.options.released)[0]
        self._write(fitting, levels, [part for part, _ in faces_and_changes], target, "")

    def _write(self, fitting: Fitting, pixels: U8, faces: Sequence[SourceFace], target: str, clean: str) -> None:
        face = faces[0]
        sample, output = face.sample, self._output
        path = Path("cloaked", sample.identity, self._name(fitting, sample))
        metadata = face.metadata if face.place is not None or fitting.cloak.size is None else Metadata()
        data = encoded(pixels, output.image_format, **metadata.options(exif=output.keep_exif))
        dropped = metadata.dropped if output.keep_exif else ""
        self._ledger.write(path, data)
        written = decode((self._ledger.folder / path).read_bytes())
        values = [measured(*_before_and_after(f, written), fitting.cloak.surrogates, f.matrices) for f in faces]
        self._ledger.add(
            {
                "identity": sample.identity,
                "path": path,
                "key": sample.key,
                "cloak": fitting.part,
                "target": target,
                "faces": len(faces),
                "source": sample.path,
                "source_sha256": face.sha256,
                "sha256": hashlib.sha256(data).hexdigest(),
                "clean": clean,
                **combined(values),
                "note": f"EXIF left out, as it cannot be written: {dropped}" if dropped else "",
            }
        )
        self.written += 1

    def _name(self, fitting: Fitting, sample: Sample) -> str:
        return f"{sample.key}{fitting.part.suffix}.{self._output.ending}"


def _clean_name(sample: Sample) -> str:
    return f"{sample.key}_small.png"


def _before_and_after(face: SourceFace, written: U8) -> tuple[U8, U8]:
    """Return a face before and after, both in the cloak's size, as they are found in the picture as written."""
    if face.place is None:
        return face.pixels, written
    side = face.pixels.shape[0]
    plain = FaceGeometry(side, side, interpolation="bicubic")
    squares = (face.place.frame.square(photo) for photo in (face.place.photo, written))
    before, after = (cut_face(np.rint(square).astype(np.uint8), plain, None) for square in squares)
    return before, after

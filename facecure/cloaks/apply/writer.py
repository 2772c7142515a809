"""Cloaked pictures on disk: faces, or whole photos once all their faces are done; read back and measured."""

from __future__ import annotations

import hashlib
import io
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from PIL import Image

from facecure.cloaks.apply.faces import Tool, ToolFace
from facecure.cloaks.apply.ledger import Ledger
from facecure.cloaks.apply.measure import MEASURES, combined, measured
from facecure.pictures.align import cut_face
from facecure.pictures.decode import decode
from facecure.pictures.metadata import Metadata
from facecure.types import F32, U8, FaceGeometry, Sample

if TYPE_CHECKING:
    from torch import Tensor

Format = Literal["png", "jpeg", "webp"]
COLUMNS = (
    "identity", "path", "key", "cloak", "target", "faces", "source", "source_sha256", "sha256", "clean", *MEASURES,
    "note",
)  # fmt: skip
_LONGEST_SIDES = {"jpeg": 65500, "webp": 16383}
_LONGEST = 255  # bytes of a file's name, on all common file systems
QUALITY = 95  # of JPEG, without chroma subsampling, and WebP
_STRIP = 512  # rows of a photo that are in float32 at a time
_ENDINGS = {"png": "png", "jpeg": "jpg", "webp": "webp"}
_Grids = Sequence["Tensor | None"]


class Writer:
    """Writes cloaked faces, each to `cloaked/<identity>/` with the clean one in `clean/<identity>/`; or whole photos.

    A photo is upright and keeps its source's colour profile; where it was taken, when and with what only with `exif`,
    except what of it cannot be written again, of which the row has a note.
    """

    def __init__(self, ledger: Ledger, image_format: Format, *, exif: bool) -> None:
        self.written = 0
        self._ledger, self._format, self._exif = ledger, image_format, exif
        # of photos with faces still to come: those that are done, with grids and what each adds to its square
        self._open: dict[tuple[str, str], list[tuple[ToolFace, _Grids, F32]]] = defaultdict(list)

    def nameless(self, tool: Tool, sample: Sample) -> str:
        """Return why a sample's files cannot have their names; empty where they can."""
        names = [sample.identity, self._name(tool, sample), *([] if tool.whole else [_clean_name(sample)])]
        longest = max(len(name.encode()) for name in names)
        if longest <= _LONGEST:
            return ""
        return f"name too long: {longest} bytes with what is added to it, beyond {_LONGEST}; rename it shorter"

    def oversized(self, pixels: U8) -> str:
        """Return why a picture of this size cannot be written in the format; empty where it can."""
        side, most = max(pixels.shape[:2]), _LONGEST_SIDES.get(self._format)
        if most is None or side <= most:
            return ""
        return f"too large: a side of {side} pixels, beyond {most} of {self._format}; take --format png"

    def put(self, tool: Tool, face: ToolFace, cloaked: U8, target: str, grids: _Grids) -> None:
        """Take a cloaked face, uint8 (H, W, 3) RGB, and write its picture if that is complete."""
        place = face.place
        if place is None:
            clean = Path("clean", face.sample.identity, _clean_name(face.sample))
            self._ledger.write(clean, encoded(face.pixels, "png"))
            self._write(tool, cloaked, [(face, grids)], target, str(clean))
            return
        name = face.sample.identity, face.sample.key
        self._open[name].append((face, grids, tool.change(face, cloaked)))
        if len(self._open[name]) < place.faces:
            return
        done = self._open.pop(name)
        pixels = place.photo.astype(np.float32)
        for one, _, change in done:
            assert one.place is not None
            one.place.frame.add(pixels, change)
        levels = np.empty_like(place.photo)
        for top in range(0, len(pixels), _STRIP):
            strip = pixels[None, top : top + _STRIP].transpose(0, 3, 1, 2)
            levels[top : top + _STRIP] = quantised(strip, truncate=tool.released)[0]
        self._write(tool, levels, [(one, views) for one, views, _ in done], target, "")

    def _write(self, tool: Tool, pixels: U8, faces: Sequence[tuple[ToolFace, _Grids]], target: str, clean: str) -> None:
        face, _ = faces[0]
        sample = face.sample
        path = Path("cloaked", sample.identity, self._name(tool, sample))
        told = face.metadata if face.place is not None or tool.cloak.size is None else Metadata()
        data = encoded(pixels, self._format, **told.options(exif=self._exif))
        left = told.dropped if self._exif else ""
        self._ledger.write(path, data)
        written = decode((self._ledger.folder / path).read_bytes())
        found = [measured(*_before_and_after(face, written), tool.cloak.surrogates, grids) for face, grids in faces]
        self._ledger.add(
            {
                "identity": sample.identity,
                "path": path,
                "key": sample.key,
                "cloak": tool.choice,
                "target": target,
                "faces": len(faces),
                "source": sample.path,
                "source_sha256": face.sha256,
                "sha256": hashlib.sha256(data).hexdigest(),
                "clean": clean,
                **combined(found),
                "note": f"EXIF left out, as it cannot be written: {left}" if left else "",
            }
        )
        self.written += 1

    def _name(self, tool: Tool, sample: Sample) -> str:
        return f"{sample.key}{tool.choice.suffix}.{_ENDINGS[self._format]}"


def _clean_name(sample: Sample) -> str:
    return f"{sample.key}_small.png"


def _before_and_after(face: ToolFace, written: U8) -> tuple[U8, U8]:
    """Return a face before and after, both in the tool's size, as they are found in the picture as written."""
    if face.place is None:
        return face.pixels, written
    side = face.pixels.shape[0]
    plain = FaceGeometry(side, side, interpolation="bicubic")
    squares = (face.place.frame.square(photo) for photo in (face.place.photo, written))
    before, after = (cut_face(np.rint(square).astype(np.uint8), plain, None) for square in squares)
    return before, after


def quantised(pictures: F32, *, truncate: bool) -> U8:
    """Return float pictures (N, 3, H, W) 0…255 as uint8 (N, H, W, 3): cut off as the tools do (Q30), or rounded."""
    levels = np.floor(pictures) if truncate else np.rint(pictures)
    return np.ascontiguousarray(np.clip(levels, 0, 255).astype(np.uint8).transpose(0, 2, 3, 1))


def encoded(pixels: U8, image_format: Format, **metadata: bytes) -> bytes:
    """Return an image file of uint8 (H, W, 3) RGB pixels, with no other metadata than this, as Pillow takes it."""
    options = {"png": {}, "jpeg": {"quality": QUALITY, "subsampling": 0}, "webp": {"quality": QUALITY}}[image_format]
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, image_format.upper(), **options, **metadata)
    return file.getvalue()

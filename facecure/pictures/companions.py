"""Files that lie beside a photo under its name: settings, sidecars, the video of a live photo."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from facecure.names import shown
from facecure.pictures.files import read_head
from facecure.pictures.formats import UnreadablePicture, preference, recognise
from facecure.types import Exclusion

_UNREAD, _NO_PICTURE = 100, 1000  # what cannot be opened may be the photo


def drop_companions(files: Sequence[Path]) -> tuple[list[Path], list[Exclusion]]:
    """Return a folder's files without those that are no pictures and named after one beside them, and these.

    `x.AAE`, `x.jpg.xmp` and `x.jpg.supplemental-metadata.json` are named after `x.jpg`. First bytes decide what is a
    picture, and are read only where names meet.
    """
    named: dict[str, list[Path]] = defaultdict(list)
    for file in files:
        for name in {file.name, file.stem}:
            named[name].append(file)
    kept, excluded = [], []
    for file in files:
        parts = file.name.split(".")
        after = (other for end in range(1, len(parts)) for other in named.get(".".join(parts[:end]), ()))
        picture = next((other for other in after if other != file and rank(other) < _NO_PICTURE), None)
        if picture is not None and rank(file) == _NO_PICTURE:
            excluded.append(Exclusion(file, f"companion: no picture itself, but named after {shown(picture.name)}"))
        else:
            kept.append(file)
    return kept, excluded


def rank(file: Path) -> int:
    """Return the place of a file among those of one name, by its format: the lowest is the picture."""
    try:
        name = recognise(read_head(file))
    except UnreadablePicture:
        return _UNREAD
    return _NO_PICTURE if name is None else preference(name)

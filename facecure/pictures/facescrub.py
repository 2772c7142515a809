"""The two FaceScrub layouts in use (docs/protocol.md §10) beside plain identity folders."""

from __future__ import annotations

import re
from pathlib import Path

from facecure.pictures.files import is_folder

# lightalchemist/FaceScrub: {name}_{image_id}_{face_id}, possibly all in one folder
_NAMED_CROP = re.compile(r"(?P<name>.+)_\d+_\d+$")


def crop_folder(identity_folder: Path) -> Path:
    """Return the folder with an identity's crops: `face/` inside it (faceteam/facescrub) or the folder itself."""
    inner = identity_folder / "face"
    return inner if is_folder(inner) else identity_folder


def identity_of(stem: str) -> str | None:
    """Return the person's name in a stem `{name}_{image_id}_{face_id}`, None where it is not of that form."""
    match = _NAMED_CROP.match(stem)
    return match["name"] if match else None

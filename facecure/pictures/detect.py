"""What finds faces: boxes and five landmarks each, the main face first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facecure.errors import InputError
from facecure.types import F64, I64, U8

DETECTORS = {"yunet": "facecure.pictures.yunet:YuNet", "mtcnn": "facecure.pictures.mtcnn:Mtcnn"}
VARIABLE = "FACECURE_DETECTOR"  # the environment variable that names a file or zoo entry where the caller names none


@dataclass(frozen=True, slots=True)
class DetectedFace:
    """One face: `box` float64 (4,) left, top, right, bottom, and five `landmarks` (5, 2), of the whole picture.

    Landmarks are pixel indices; the box counts pixels from the picture's corner.
    """

    box: F64
    landmarks: F64


class Detector:
    """Base of what finds faces; `file` and `sha256` are those of its weights."""

    file: Path
    sha256: str

    @property
    def digest(self) -> str:
        """Return the hex SHA-256 of the weights and every constant that decides which face is found where."""
        raise NotImplementedError

    def faces(self, picture: U8) -> list[DetectedFace]:
        """Return all faces of the uint8 RGB `picture`, the main one first, then by how sure the network is of them."""
        raise NotImplementedError

    def landmarks(self, picture: U8) -> F64 | None:
        """Return the main face's five points, float64 (5, 2) as x, y in pixel indices of the uint8 RGB `picture`.

        Order: eyes, nose, mouth corners, image-left first. None where there is no face.
        """
        detected = self.faces(picture)
        return detected[0].landmarks if detected else None


def read_weights(file: Path) -> bytes:
    """Return the content of a detector's file; raises `InputError` where it cannot be read."""
    try:
        return file.read_bytes()
    except OSError as error:
        why = "no such file" if isinstance(error, FileNotFoundError) else f"{error.strerror}; give access to it"
        raise InputError(f"detector {file}: {why}, or name another one") from error


def check_detector(names: Sequence[str], detector: Detector | None) -> None:
    """Raise `InputError` where extractors of these names work on found faces and nothing finds them."""
    if names and detector is None:
        raise InputError(
            f"{', '.join(names)} need{'s' * (len(names) == 1)} a detector: name yunet of the zoo or a YuNet ONNX file, "
            f"or set the environment variable {VARIABLE}",
            parameter="detector",
        )


def main_first(boxes: F64, sure: F64, size: tuple[int, int]) -> I64:
    """Return the rows of boxes (N, 4) left, top, right, bottom: the main one, then the surest first.

    The main one has the largest (area − 2·squared distance of its centre from that of the picture of `size`).
    """
    if not len(boxes):
        return np.empty(0, np.int64)
    order = np.argsort(-sure, kind="stable")
    sides = boxes[order, 2:] - boxes[order, :2]
    off_centre = np.square(boxes[order, :2] + sides / 2 - np.array(size) / 2).sum(1)
    main = int(np.argmax(sides.prod(1) - 2 * off_centre))
    return np.array([order[main], *np.delete(order, main)])

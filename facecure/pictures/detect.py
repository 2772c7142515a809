"""Five landmarks of the main face by YuNet, through OpenCV's `FaceDetectorYN`."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from facecure.errors import InputError
from facecure.types import F64, I64, U8, digest_of

VARIABLE = "FACECURE_DETECTOR"  # the environment variable that names a file or zoo entry where the caller names none
THRESHOLD = 0.5
RETRY_PADDING = 0.3  # of each side, for crops so tight that the network sees no head
# Larger photos are reduced for detection only: YuNet knows faces up to some hundred pixels, and on close-ups beyond its
# landmarks drift, while much smaller a group photo's faces would be lost (tests/pictures/test_detect.py).
LONGEST_SIDE = 640

_QUIET = threading.Lock()  # the log level is one for the whole process


@dataclass(frozen=True, slots=True)
class Found:
    """One face: `box` float64 (4,) left, top, right, bottom, and five `landmarks` (5, 2), of the whole picture.

    Landmarks are pixel indices; the box counts pixels from the picture's corner.
    """

    box: F64
    landmarks: F64


class FaceFinder:
    """What finds faces; `file` and `sha256` are those of its weights."""

    file: Path
    sha256: str

    @property
    def digest(self) -> str:
        """Return the hex SHA-256 of the weights and every constant that decides which face is found where."""
        raise NotImplementedError

    def faces(self, picture: U8) -> list[Found]:
        """Return all faces of the uint8 RGB `picture`, the main one first, then by how sure the network is of them."""
        raise NotImplementedError

    def landmarks(self, picture: U8) -> F64 | None:
        """Return the main face's five points, float64 (5, 2) as x, y in pixel indices of the uint8 RGB `picture`.

        Order: eyes, nose, mouth corners, image-left first. None where there is no face.
        """
        found = self.faces(picture)
        return found[0].landmarks if found else None


def read_weights(file: Path) -> bytes:
    """Return the content of a detector's file; raises `InputError` where it cannot be read."""
    try:
        return file.read_bytes()
    except OSError as error:
        why = "no such file" if isinstance(error, FileNotFoundError) else f"{error.strerror}; give access to it"
        raise InputError(f"detector {file}: {why}, or name another one") from error


def check_detector(names: Sequence[str], detector: FaceFinder | None) -> None:
    """Raise `InputError` where extractors of these names work on found faces and nothing finds them."""
    if names and detector is None:
        raise InputError(
            f"{', '.join(names)} need{'s' * (len(names) == 1)} a detector: name yunet of the zoo or a YuNet ONNX file "
            f"with --detector or the environment variable {VARIABLE}"
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


class Detector(FaceFinder):
    """YuNet from an ONNX file. Safe to call from several threads; each gets a network of its own."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.sha256 = hashlib.sha256(read_weights(file)).hexdigest()
        self._local = threading.local()
        try:
            self._detect(np.zeros((32, 32, 3), np.uint8))  # another network fails here, not at the first picture
        except cv2.error as error:
            raise InputError(f"detector {file} is no YuNet ONNX file that OpenCV can read: {error}") from error

    @property
    def digest(self) -> str:
        """Hex SHA-256 of the weights and every constant that decides which face is found where."""
        return digest_of([self.sha256, THRESHOLD, RETRY_PADDING, LONGEST_SIDE])

    def faces(self, picture: U8) -> list[Found]:
        """Return all faces of the uint8 RGB `picture`, the main one first, the rest as sure as the network is of them.

        Without a hit, one more try with 30 % black padding.
        """
        scale = min(1.0, LONGEST_SIDE / max(picture.shape[:2]))
        image: npt.NDArray[Any] = picture[..., ::-1]
        if scale < 1:
            size = [max(1, round(scale * side)) for side in (image.shape[1], image.shape[0])]
            image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        height, width = image.shape[:2]
        rows, left, top = self._detect(image), 0, 0
        if rows is None:
            left, top = round(RETRY_PADDING * width), round(RETRY_PADDING * height)
            padded = cv2.copyMakeBorder(image, top, top, left, left, cv2.BORDER_CONSTANT)
            rows = self._detect(padded)
        if rows is None:
            return []
        corners = rows[:, :2] - (left, top)
        order = main_first(np.concatenate([corners, corners + rows[:, 2:4]], 1), rows[:, 14], (width, height))
        found = []
        for row in rows[order]:
            corner = row[:2] - (left, top)
            # reduced and original picture share their corners, and an index lies half a pixel inside
            points = (row[4:14].reshape(5, 2) - (left, top) + 0.5) / scale - 0.5
            found.append(Found(np.concatenate([corner, corner + row[2:4]]) / scale, points))
        return found

    def _detect(self, bgr: npt.NDArray[Any]) -> F64 | None:
        network = self._network()
        network.setInputSize((bgr.shape[1], bgr.shape[0]))
        faces = network.detect(np.ascontiguousarray(bgr))[1]
        return None if faces is None or not len(faces) else np.asarray(faces, np.float64)

    def _network(self) -> cv2.FaceDetectorYN:
        if not hasattr(self._local, "network"):
            with _QUIET:
                # OpenCV 5 warns at each creation that its CPU target needs no choosing
                level = cv2.utils.logging.getLogLevel()
                cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
                try:
                    self._local.network = cv2.FaceDetectorYN.create(str(self.file), "", (320, 320), THRESHOLD)
                finally:
                    cv2.utils.logging.setLogLevel(level)
        network: cv2.FaceDetectorYN = self._local.network
        return network

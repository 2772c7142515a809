"""YuNet, through OpenCV's `FaceDetectorYN`."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from facecure.errors import InputError
from facecure.pictures.detect import DetectedFace, Detector, main_first, read_weights
from facecure.types import F64, U8, digest_of

THRESHOLD = 0.5
RETRY_PADDING = 0.3  # of each side, for crops so tight that the network sees no head
# Larger photos are reduced for detection only: YuNet knows faces up to some hundred pixels, and on close-ups beyond its
# landmarks drift, while much smaller a group photo's faces would be lost (tests/pictures/test_detect.py).
LONGEST_SIDE = 640

_QUIET = threading.Lock()  # the log level is one for the whole process


class YuNet(Detector):
    """YuNet from an ONNX file. Safe to call from several threads; each gets a network of its own."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.sha256 = hashlib.sha256(read_weights(file)).hexdigest()
        self._local = threading.local()
        try:
            self._detect(np.zeros((32, 32, 3), np.uint8))  # another network fails here, not at the first picture
        except cv2.error as error:
            raise InputError(f"detector {file} is not a YuNet ONNX file that OpenCV can read: {error}") from error

    @property
    def digest(self) -> str:
        """Hex SHA-256 of the weights and every constant that decides which face is found where."""
        return digest_of([self.sha256, THRESHOLD, RETRY_PADDING, LONGEST_SIDE])

    def faces(self, picture: U8) -> list[DetectedFace]:
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
        detected = []
        for row in rows[order]:
            corner = row[:2] - (left, top)
            # reduced and original picture share their corners, and an index lies half a pixel inside
            points = (row[4:14].reshape(5, 2) - (left, top) + 0.5) / scale - 0.5
            detected.append(DetectedFace(np.concatenate([corner, corner + row[2:4]]) / scale, points))
        return detected

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

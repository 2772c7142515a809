"""OpenCV's own threads, which are not wanted where ours call it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

import cv2

_lock = Lock()
_inside = 0
_before = 0


@contextmanager
def opencv_on_one_thread() -> Iterator[None]:
    """Inside, OpenCV starts no threads of its own; the last one to leave gives the process its setting back.

    The setting is one for the whole process, so it also holds for others who use OpenCV meanwhile.
    """
    global _inside, _before
    with _lock:
        if not _inside:
            _before = cv2.getNumThreads()
            cv2.setNumThreads(1)
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside:
                cv2.setNumThreads(_before)

"""Picture files as bytes: regular ones only, recognised before they are read, and no larger than a photo is."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from facecure.pictures.formats import HEAD, UnreadablePicture, described, recognise

MAX_BYTES = 1 << 29
_KINDS = {
    stat.S_IFDIR: "a folder", stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device", stat.S_IFBLK: "a device",
}  # fmt: skip


def read_head(path: Path) -> bytes:
    """Return the first `HEAD` bytes of a file, fewer where it ends; raises `UnreadablePicture`."""
    with _opened(path) as (file, _):
        return file.read(HEAD)


def read_picture(path: Path, admit: Callable[[int], None] = lambda size: None) -> bytes:
    """Return the content of a file that is a picture by its first bytes, once `admit` has returned for its size.

    Raises `UnreadablePicture` with the reason where it is none, or cannot be read.
    """
    with _opened(path) as (file, size):
        head = file.read(HEAD)
        if recognise(head) is None:
            raise UnreadablePicture(described(head))
        if size > MAX_BYTES:
            raise UnreadablePicture(f"{size >> 20} MiB, beyond the {MAX_BYTES >> 20} that are read; save it smaller")
        admit(size)
        file.seek(0)
        return file.read(size)


def is_folder(path: Path) -> bool:
    """Return whether this is a folder, as far as may be known: `Path.is_dir` raises where access is refused."""
    return _is(path, stat.S_ISDIR)


def is_file(path: Path) -> bool:
    """Return whether this is a regular file, as far as may be known."""
    return _is(path, stat.S_ISREG)


def _is(path: Path, kind: Callable[[int], bool]) -> bool:
    try:
        return kind(path.stat().st_mode)
    except (OSError, ValueError):
        return False


@contextmanager
def _opened(path: Path) -> Iterator[tuple[BinaryIO, int]]:
    """Yield a regular file and its size; what it does not stand for raises `UnreadablePicture`."""
    try:
        _check_regular(path.stat())  # before opening, for that may hang or act
        # without waiting, for what has come into its place since
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            _check_regular(status)
            yield file, status.st_size
    except OSError as error:
        raise UnreadablePicture(error.strerror or str(error)) from error
    except ValueError as error:  # Python's own, before the system is asked
        raise UnreadablePicture("its name holds a NUL character") from error


def _check_regular(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise UnreadablePicture(f"{_KINDS.get(stat.S_IFMT(status.st_mode), 'something else')}, no file")

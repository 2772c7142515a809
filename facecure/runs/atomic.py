"""Files that are whole or not there, in folders that one process at a time writes to."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from facecure.errors import InputError


def write_whole(file: Path, content: bytes | str) -> None:
    r"""Write the content to `file`, text as UTF-8; whatever interrupts leaves what was there before.

    A byte of a file name that is not UTF-8, a lone surrogate in text, becomes `\udcNN`, which JSON reads as it was.
    Raises `InputError` where the file cannot be written.
    """
    # as long for every name: one of 255 bytes leaves no room for an ending
    unfinished = file.with_name(f".{hashlib.sha256(os.fsencode(file.name)).hexdigest()[:16]}.unfinished")
    with writing(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        with unfinished.open("wb") as stream:
            stream.write(content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content)
            stream.flush()
            os.fsync(stream.fileno())  # a rename may reach the disk before the bytes do
        unfinished.replace(file)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what the system says against using `path` into an `InputError` that names it."""
    try:
        yield
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}; give access to it, or name another place") from error


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Make a folder and keep other processes out of it inside; raises `InputError` where one is in there already."""
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        stream = (folder / ".lock").open("a")
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"another process is writing to {folder}: wait until it is done, or name another folder"
            ) from None
        except OSError as error:
            raise InputError(
                f"{folder}: its file system has no locks ({error.strerror}); name a folder on another one"
            ) from error
        yield

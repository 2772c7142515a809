"""A file out of the archive that it is published in."""

from __future__ import annotations

import bz2
import shutil
import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from facecure.errors import InputError


def is_archive(name: str) -> bool:
    """Return whether a file of this name is an archive of one of the kinds known here."""
    return name.endswith((".zip", ".whl", ".tar.gz", ".bz2"))


def unpack(archive: Path, name: str, member: str, into: Path) -> None:
    """Write `member` of an archive, or the content of a bz2 file, to `into`.

    The ending of `name` says what kind of archive it is. A member may lie in another folder than published. Raises
    `InputError` for a damaged archive or a missing member, and leaves nothing.
    """
    try:
        with _opened(archive, name, member) as source, into.open("wb") as target:
            shutil.copyfileobj(source, target, 1 << 20)
    except (OSError, EOFError, KeyError, zipfile.BadZipFile, tarfile.TarError) as error:
        into.unlink(missing_ok=True)
        raise InputError(f"{name} is damaged or has no {member}: {error}") from error


@contextmanager
def _opened(archive: Path, name: str, member: str) -> Iterator[IO[bytes]]:
    if name.endswith(".bz2"):
        with bz2.open(archive) as stream:
            yield stream
    elif name.endswith(".tar.gz"):
        with tarfile.open(archive) as tar:
            files = [entry.name for entry in tar.getmembers() if entry.isfile()]
            found = tar.extractfile(_only(files, member))
            assert found is not None  # of a regular file there is one
            with found:
                yield found
    else:
        with zipfile.ZipFile(archive) as zipped, zipped.open(_only(zipped.namelist(), member)) as stream:
            yield stream


def _only(names: Sequence[str], member: str) -> str:
    """Return the member's name in the archive: exactly as given, or the only one of that name in any folder."""
    if member in names:
        return member
    found = [name for name in names if name.rpartition("/")[2] == member.rpartition("/")[2]]
    if len(found) != 1:
        raise KeyError(f"{len(found)} files of that name among {len(names)}")
    return found[0]

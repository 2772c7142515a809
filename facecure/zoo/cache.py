"""Where weights lie on this machine: verified against their publisher's checksum, or pinned when they first came."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from facecure.errors import DigestMismatch, InputError
from facecure.extractors.networks import LOOKALIKES
from facecure.extractors.spec import ExtractorSpec
from facecure.runs.atomic import write_whole, writing
from facecure.zoo.archive import is_archive, unpack
from facecure.zoo.catalogue import ZooEntry, ZooFile
from facecure.zoo.check import embedding_size, require
from facecure.zoo.download import DownloadFailed, download

Progress = Callable[[str, int, int | None], None]  # file, bytes so far, bytes in all where the server says
VARIABLE = "FACECURE_MODELS"  # the environment variable that names another folder


class ModelCache:
    """A folder of weights and `lock.json`, which says of each file its SHA-256 and where it came from."""

    def __init__(self, folder: str | os.PathLike[str] | None = None) -> None:
        named = folder or os.environ.get(VARIABLE)
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        self.folder = Path(named) if named else home / "facecure" / "models"

    def path(self, file: ZooFile) -> Path:
        """Return where a file lies, or has to be placed."""
        return self.folder / file.name

    def has(self, entry: ZooEntry) -> bool:
        """Return whether all of an entry's files are there; they are verified when they are used."""
        return all(map(self._there, entry.files))

    def lock(self) -> dict[str, dict[str, Any]]:
        """Return what is known of the files that came: SHA-256, size, origin, time, and an extractor's embedding."""
        try:
            found: dict[str, dict[str, Any]] = json.loads((self.folder / "lock.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise InputError(f"{self.folder / 'lock.json'}: {error}; repair or delete it") from error
        return found

    def files(self, entry: ZooEntry) -> list[Path]:
        """Return an entry's verified files; raises `InputError` saying how to get what is missing.

        A file that somebody placed there is verified, or pinned, like one that was fetched.
        """
        self._take_in(entry)
        for file in entry.files:
            self._verify(entry, file, self.path(file), "in the cache")
        return [self.path(file) for file in entry.files]

    def spec(self, entry: ZooEntry) -> ExtractorSpec:
        """Return an extractor's spec, whose SHA-256 is enforced when it is opened; raises as `files` does."""
        if entry.kind != "extractor":
            raise InputError(f"{entry.name} is a {entry.kind}, not an extractor")
        self._take_in(entry)
        (file,) = entry.files
        known = self.lock()[file.name]
        return entry.spec(self.path(file), known["sha256"], entry.embedding_size or known["embedding"])

    def fetch(self, entry: ZooEntry, progress: Progress = lambda name, done, total: None) -> list[str]:
        """Return remarks on what was fetched of an entry; whatever is there already is verified and kept.

        Addresses are tried in turn. Raises `InputError` naming why each failed, the file to place and where.
        """
        require(entry)
        remarks: list[str] = []
        for file in entry.files:
            if self._there(file):
                continue
            reasons = []
            for url in file.urls:
                try:
                    remarks += self._fetch(entry, file, url, progress)
                    break
                except (DownloadFailed, DigestMismatch, InputError) as error:
                    reasons.append(f"  {url}: {error}")
            else:
                tried = "\n".join(["no address gave it:", *reasons]) if reasons else "it has no public address."
                raise InputError(f"{entry.name}: {file.name}: {tried}\n{self.how_to_get(entry, [file])}")
        self.files(entry)
        return remarks

    def add(self, entry: ZooEntry, files: Sequence[Path], *, replace: bool = False) -> list[str]:
        """Return remarks on files that somebody has, now copied into the cache; an archive gives what is inside.

        For an entry of several files they are told apart by name or checksum. With `replace` they take the place of
        what was pinned when it first came; what a publisher says of them is enforced all the same. Raises `InputError`
        or `DigestMismatch`, and leaves the cache as it is, where one is not what the entry names.
        """
        require(entry)
        placed: dict[str, Path] = {}
        with self._writing():
            try:
                for given in files:
                    if not given.is_file():
                        raise InputError(f"{given}: no such file")
                    file = self._which(entry, given)
                    placed[file.name] = self._beside(file)
                    if is_archive(given.name):
                        unpack(given, given.name, _member(file), placed[file.name])
                    else:
                        shutil.copyfile(given, placed[file.name])
                origin = f"added from {', '.join(str(given) for given in files)}"
                return self._admit(entry, placed, origin, pinned=not replace)
            finally:
                for place in placed.values():
                    place.unlink(missing_ok=True)

    def remove(self, entry: ZooEntry) -> list[Path]:
        """Delete an entry's files, exports, certificates and pins; return the files and folders that were there.

        Entries that share a file lose it together.
        """
        exports = [folder for folder in self.folder.glob(f"exports/{entry.name}-*") if _made_for(folder, entry.name)]
        there = [path for path in [*map(self.path, entry.files), *exports] if path.exists()]
        if not there and not any(file.name in self.lock() for file in entry.files):
            return []
        with self._writing():
            known = self.lock()
            for file in entry.files:
                known.pop(file.name, None)
            # the pins go first: a file without one is taken in again as if it had been placed by hand
            write_whole(self.folder / "lock.json", json.dumps(known, indent=1, sort_keys=True))
            for path in there:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        return there

    def how_to_get(self, entry: ZooEntry, files: Sequence[ZooFile]) -> str:
        """Return the ways in which a person gets an entry's files."""
        ways = []
        if any(file.urls for file in files):
            ways.append(f"With a connection: facecure models fetch {entry.name}.")
        for file in files:
            known = file.sha256 or file.md5
            published = f" ({'SHA-256' if file.sha256 else 'MD5'} {known})" if known else ""
            where = file.page or (file.urls[0].partition("#")[0] if file.urls else "")
            ways.append(f"By hand: get {file.name}{published} from {where} and say")
        ways.append(f"  facecure models add FILE --as {entry.name}")
        places = ", ".join(str(self.path(file)) for file in files)
        return "\n".join([*ways, f"or place it as {places}"])

    def _there(self, file: ZooFile) -> bool:
        """Return whether a file is in the cache; raises `InputError` where the folder cannot be looked into."""
        with writing(self.folder):
            return self.path(file).is_file()

    def _take_in(self, entry: ZooEntry) -> None:
        """Fetch an entry's files and write them to the lock file."""
        missing = [file for file in entry.files if not self._there(file)]
        if missing:
            raise InputError(f"{entry.name} is not on this machine.\n{self.how_to_get(entry, missing)}")
        if any(file.name not in self.lock() for file in entry.files):
            require(entry)
            with self._writing():
                self._admit(entry, {file.name: self.path(file) for file in entry.files}, "placed by hand")

    def _fetch(self, entry: ZooEntry, file: ZooFile, url: str, progress: Progress) -> list[str]:
        address, _, member = url.partition("#")
        name = address.rpartition("/")[2]
        came, unpacked = self.folder / f"{file.name}.download", self._beside(file)
        try:
            download(address, came, lambda done, total: progress(file.name, done, total))
            with self._writing():
                if not is_archive(name):
                    return self._admit(entry, {file.name: came}, f"from {url}")
                unpack(came, name, member or file.name, unpacked)
                return self._admit(entry, {file.name: unpacked}, f"from {url}")
        finally:
            came.unlink(missing_ok=True)
            unpacked.unlink(missing_ok=True)

    def _admit(self, entry: ZooEntry, placed: dict[str, Path], origin: str, *, pinned: bool = True) -> list[str]:
        """Return remarks on files that are moved into the cache and the lock file, if they are what they should be.

        With `pinned` they must be those that came first, where no publisher says what they are.
        """
        remarks: list[str] = []
        known = {name: facts for name, facts in self.lock().items() if pinned or name not in placed}
        for file in entry.files:
            if file.name not in placed:
                continue
            place = placed[file.name]
            sha256 = self._verify(entry, file, place, origin, pinned=pinned)
            if file.name not in known and not (file.sha256 or file.md5):
                remarks.append(f"{file.name}: no checksum is published; SHA-256 {sha256} is enforced from now on")
                remarks += [f"{file.name}: {note}" for note in (LOOKALIKES.get(entry.architecture or ""),) if note]
                if file.reported and file.reported != sha256:
                    remarks.append(f"{file.name}: others report SHA-256 {file.reported}; is this the file you mean?")
            facts = {"sha256": sha256, "size": place.stat().st_size, "origin": origin}
            known.setdefault(file.name, facts | {"when": datetime.now(UTC).isoformat(timespec="seconds")})
            if entry.kind == "extractor":
                try:
                    size = embedding_size(entry, place)  # which opens it
                except InputError as error:
                    raise InputError(f"{file.name}, {origin}: {error}") from error
                known[file.name] |= {} if entry.embedding_size else {"embedding": size}
        for name, place in placed.items():
            place.replace(self.folder / name)
        write_whole(self.folder / "lock.json", json.dumps(known, indent=1, sort_keys=True))
        return remarks

    def _verify(self, entry: ZooEntry, file: ZooFile, place: Path, origin: str, *, pinned: bool = True) -> str:
        """Return a file's SHA-256; raises `DigestMismatch` where it is not the published or pinned one."""
        with writing(place), place.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
        first = self.lock().get(file.name, {}).get("sha256") if pinned else None
        lock = f"{self.folder / 'lock.json'}, where it was pinned when it first came,"
        promises = [("SHA-256", found, file.sha256, "its publisher"), ("SHA-256", found, first, lock)]
        if file.md5 and first is None:
            with place.open("rb") as stream:
                md5 = hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
            promises.append(("MD5", md5, file.md5, "its publisher"))
        for kind, have, wanted, who in promises:
            if wanted is not None and have != wanted:
                cure = f"; delete {place} to get it again" if place == self.path(file) else ""
                if who == lock:
                    cure += (
                        f"; if it is the one you mean, facecure models add FILE --as {entry.name} --replace, or "
                        f"facecure models remove {entry.name} to begin anew"
                    )
                raise DigestMismatch(
                    f"{file.name}, {origin}: {kind} is {have}, {who} says {wanted}: it is damaged or another file{cure}"
                )
        return found

    def _which(self, entry: ZooEntry, given: Path) -> ZooFile:
        """Return which of an entry's files somebody gave."""
        if len(entry.files) == 1:
            return entry.files[0]
        sha256 = hashlib.sha256(given.read_bytes()).hexdigest()
        for file in entry.files:
            published = {url.rpartition("/")[2] for url in file.urls} | {file.name}
            if sha256 == file.sha256 or given.name in published:
                return file
        raise InputError(f"{given} is none of {entry.name}'s files: {', '.join(file.name for file in entry.files)}")

    def _beside(self, file: ZooFile) -> Path:
        """Return where a file is made ready."""
        return self.folder / f"{file.name}.new"

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Make the folder and let one process at a time change what is in it."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            stream = (self.folder / ".lock").open("w")
        except OSError as error:
            raise InputError(f"{self.folder}: {error.strerror}; name another folder with {VARIABLE}") from error
        with stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            yield


def _made_for(folder: Path, name: str) -> bool:
    """Return whether a folder of exports, NAME-DIGEST, is that of this name and not of a longer one."""
    return folder.name.rpartition("-")[0] == name


def _member(file: ZooFile) -> str:
    """Return what a file is called inside the archive that it is published in."""
    return next((url.partition("#")[2] for url in file.urls if "#" in url), file.name)

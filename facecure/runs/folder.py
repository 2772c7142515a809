"""A folder that remembers what a run has done, so that an interrupted or repeated one does nothing twice."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Collection, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from facecure.errors import InputError
from facecure.runs.atomic import alone, write_whole, writing
from facecure.types import digest_of

SUMS = "SHA256SUMS"
_LINE = re.compile(rb"(\\?)([0-9a-f]{64})  (.+)", re.DOTALL)


class RunFolder:
    """The folder `path` as the memory of one run; `what` names the kind of run and its file, such as `cloak.json`.

    That file says how: `parameters`, which another run in this folder has to share but for those in `free`, and
    `state`, a dict that is written by `save` and on leaving. `SHA256SUMS` has the digest of every file that was put,
    as `sha256sum --check` reads it. Reading needs no more than the object; to write, enter it:

        with RunFolder(out, {"seed": 0}, what="cloak") as run:
            if not run.done("a.png"):
                run.put("a.png", picture)

    A digest is written before its file, and dropped once another content lies there: whatever interrupts, a name has
    the content that was put last, the one before, or none. `damaged` lists files that were met with anything else.
    Raises `InputError` where the folder holds a run with other parameters, naming them, or a damaged file of them.
    """

    def __init__(self, path: Path, parameters: Mapping[str, Any], *, what: str, free: Collection[str] = ()) -> None:
        self.path, self.damaged = path, list[Path]()
        self.state: dict[str, Any] = {}
        self._file, self._free, self._lock = path / f"{what}.json", free, ExitStack()
        parameters = json.loads(json.dumps(parameters))  # as they are read back: lists for tuples
        digest = digest_of({key: value for key, value in parameters.items() if key not in free})
        self._parameters = {"digest": digest, **parameters}
        self._written = ""
        self._digests: dict[str, list[str]] = {}
        self._read()

    def __enter__(self) -> Self:
        """Keep other processes out; raises `InputError` where one is in the folder already."""
        with ExitStack() as stack:
            stack.enter_context(alone(self.path))
            self._read()  # another process may have written since
            self.save()
            self._write_digests()  # without a line that an interruption left half written
            self._lock = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Write `state` and let others in."""
        with self._lock:
            self.save()

    def done(self, name: str) -> bool:
        """Return whether a file was put under this name and is still what it was."""
        return self.get(name) is not None

    def get(self, name: str) -> bytes | None:
        """Return what was put under a name; None for nothing, or where the file is missing or, see `damaged`, another.

        Raises `InputError` where it cannot be read.
        """
        if name not in self._digests:
            return None
        file = self.path / name
        with writing(file):
            try:
                data = file.read_bytes()
            except FileNotFoundError:
                return None
        if hashlib.sha256(data).hexdigest() in self._digests[name]:
            return data
        self.damaged.append(file)
        return None

    def put(self, name: str, content: bytes | str) -> None:
        """Write a file, a path below the folder with `/`, text as UTF-8: it is whole and on the disk, or as before."""
        data = content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content
        digest = hashlib.sha256(data).hexdigest()
        before = [other for other in self._digests.get(name, []) if other != digest]
        self._digests[name] = [*before, digest]
        sums = self.path / SUMS
        with writing(sums), sums.open("ab") as stream:
            stream.write(_line(name, digest))
            stream.flush()
            os.fsync(stream.fileno())
        write_whole(self.path / name, data)
        if before:
            self._digests[name] = [digest]
            self._write_digests()

    @property
    def remarks(self) -> list[str]:
        """What a report says of `damaged` files, once they are there again."""
        return [f"{file} was not what had been written; it was made again" for file in self.damaged]

    def save(self) -> None:
        """Write parameters and `state`, if anything in them changed."""
        text = json.dumps({**self._parameters, **self.state}, indent=1, ensure_ascii=False) + "\n"
        if text != self._written:
            write_whole(self._file, text)
            self._written = text

    def _read(self) -> None:
        """Take up what the folder says, raising `InputError` where that is of another run."""
        before = self._stated()
        if before.get("digest") != self._parameters["digest"]:
            named = set(self._parameters) - {"digest", *self._free}
            other = [name for name in self._parameters if name in named and before.get(name) != self._parameters[name]]
            raise InputError(
                f"{self._file} is of a run with another {', '.join(other) or 'set of parameters'}; name another folder"
            )
        self.state = {name: value for name, value in before.items() if name not in self._parameters}
        self._digests = {}
        sums = self.path / SUMS
        if sums.exists():
            with writing(sums):
                lines = sums.read_bytes().split(b"\n")[:-1]  # what comes after the last line end was being written
            for match in filter(None, map(_LINE.fullmatch, lines)):
                self._digests.setdefault(_name(match), []).append(match[2].decode())

    def _stated(self) -> dict[str, Any]:
        """Return what the run's file says; of a new run, its parameters."""
        if not self._file.exists():
            return self._parameters
        try:
            with writing(self._file):
                self._written = self._file.read_text(encoding="utf-8")
            stated: dict[str, Any] = {**json.loads(self._written)}
        except (TypeError, ValueError) as error:
            raise InputError(f"{self._file} is damaged ({error}); delete it, or name another folder") from error
        return stated

    def _write_digests(self) -> None:
        lines = [_line(name, digest) for name, digests in self._digests.items() for digest in dict.fromkeys(digests)]
        if lines:
            write_whole(self.path / SUMS, b"".join(lines))


def _line(name: str, digest: str) -> bytes:
    r"""Return a line as `sha256sum` has it: of names with backslashes or line ends, escaped, it begins with `\`."""
    escaped = name.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    return os.fsencode(("" if escaped == name else "\\") + f"{digest}  {escaped}\n")


def _name(match: re.Match[bytes]) -> str:
    name = os.fsdecode(match[3])
    return re.sub(r"\\(.)", lambda m: {"n": "\n", "r": "\r"}.get(m[1], m[1]), name) if match[1] else name

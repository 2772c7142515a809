"""What a run of `facecure cloak` has done: a folder that can be resumed after any interruption."""

from __future__ import annotations

import csv
import hashlib
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from facecure.names import shown
from facecure.runs.atomic import write_whole, writing
from facecure.runs.folder import RunFolder

_NEEDED = {"identity", "path", "key", "source_sha256", "sha256"}


class Ledger:
    """What the pictures of a run folder are: `manifest.csv` has a row per finished one.

    A picture is put whole and its row written only afterwards, so what has a row is done. The rows' columns `identity`,
    `path` and `key` make the file a manifest that `facecure evaluate` reads.
    """

    def __init__(self, run: RunFolder, columns: Sequence[str]) -> None:
        self.folder, self._run, self._columns = run.path, run, list(columns)
        self._file = self.folder / "manifest.csv"
        self.rows = self._read()
        self._rewrite()  # without what an interruption left half written

    def is_done(self, identity: str, key: str, source_sha256: str) -> bool:
        """Return whether this content was cloaked under this name, and its pictures are still what was written."""
        row = self.rows.get((identity, key))
        if row is None or row["source_sha256"] != source_sha256:
            return False
        picture = self._run.get(row["path"])
        if picture is None or hashlib.sha256(picture).hexdigest() != row["sha256"]:
            return False
        return not row.get("clean") or self._run.done(row["clean"])

    def write(self, path: Path, data: bytes) -> None:
        """Write a file, `path` below the folder, whole or not at all."""
        self._run.put(path.as_posix(), data)

    def add(self, row: Mapping[str, object]) -> None:
        """Append a finished picture's row."""
        text = {key: shown(str(row.get(key, ""))) for key in self._columns}
        self.rows[text["identity"], text["key"]] = text
        with writing(self._file), self._file.open("a", encoding="utf-8", newline="") as file:
            csv.DictWriter(file, self._columns).writerow(text)
            file.flush()
            os.fsync(file.fileno())

    def finish(
        self, excluded: Sequence[Mapping[str, str]], environment: Mapping[str, Any], warnings: Sequence[str] = ()
    ) -> None:
        """Sort the manifest and state what was left out, and why, and what ran."""
        self._rewrite()
        self._run.state |= {"excluded": list(excluded), "warnings": list(warnings), "environment": environment}
        self._run.save()

    def _read(self) -> dict[tuple[str, str], dict[str, str]]:
        if not self._file.exists():
            return {}
        with writing(self._file):
            text = self._file.read_bytes().decode("utf-8", errors="replace")
        ended = text[: text.rfind("\n") + 1]  # what comes after was being written
        rows = list(csv.DictReader(io.StringIO(ended, newline="")))
        whole = [row for row in rows if _NEEDED <= set(row) <= set(self._columns) and None not in row.values()]
        # earlier versions had fewer columns
        return {(row["identity"], row["key"]): {key: row.get(key, "") for key in self._columns} for row in whole}

    def _rewrite(self) -> None:
        text = io.StringIO()
        writer = csv.DictWriter(text, self._columns)
        writer.writeheader()
        writer.writerows(self.rows[key] for key in sorted(self.rows))
        write_whole(self._file, text.getvalue())

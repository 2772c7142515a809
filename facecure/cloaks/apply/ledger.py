"""What a run of `facecure cloak` has done: a folder that can be resumed after any interruption."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from facecure.errors import InputError
from facecure.names import shown
from facecure.runs.atomic import write_whole, writing
from facecure.types import digest_of

_NEEDED = {"identity", "path", "key", "source_sha256", "sha256"}


class Ledger:
    """The files of one run under `folder`: `cloak.json` says how, `manifest.csv` has a row per finished picture.

    A picture is written whole or not at all (temporary file, then rename) and its row only afterwards, so what has a
    row is done. The rows' columns `identity`, `path` and `key` make the file a manifest that `facecure evaluate` reads.
    """

    def __init__(self, folder: Path, parameters: Mapping[str, Any], columns: Sequence[str]) -> None:
        self.folder, self._columns = folder, list(columns)
        self._file = folder / "manifest.csv"
        self._parameters = {"digest": digest_of(parameters), **parameters}
        self._agree(folder / "cloak.json")
        self.rows = self._read()
        self._rewrite()  # without what an interruption left half written

    def is_done(self, identity: str, key: str, source_sha256: str) -> bool:
        """Return whether this content was cloaked under this name, and the picture is still what was written."""
        row = self.rows.get((identity, key))
        if row is None or row["source_sha256"] != source_sha256:
            return False
        try:
            written = (self.folder / row["path"]).read_bytes()
        except OSError:
            return False
        return hashlib.sha256(written).hexdigest() == row["sha256"]

    def write(self, path: Path, data: bytes) -> None:
        """Write a file below the folder, whole or not at all."""
        write_whole(path, data)

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
        self._state({"excluded": list(excluded), "warnings": list(warnings), "environment": environment})

    def _agree(self, file: Path) -> None:
        """Raise `InputError` where the folder holds a run with other parameters."""
        if file.exists():
            try:
                before = json.loads(file.read_text(encoding="utf-8"))
            except ValueError as error:
                raise InputError(f"{file} is damaged ({error}); delete it, or name another --out") from error
            if before.get("digest") != self._parameters["digest"]:
                other = [k for k, v in self._parameters.items() if before.get(k) != v and k != "digest"]
                raise InputError(
                    f"{self.folder} holds cloaks made with another {', '.join(other) or 'set of parameters'}; "
                    "name another --out"
                )
            return
        self._state({})

    def _state(self, found: Mapping[str, Any]) -> None:
        text = json.dumps({**self._parameters, **found}, indent=1, ensure_ascii=False)
        write_whole(self.folder / "cloak.json", text + "\n")

    def _read(self) -> dict[tuple[str, str], dict[str, str]]:
        if not self._file.exists():
            return {}
        with writing(self._file):
            text = self._file.read_bytes().decode("utf-8", errors="replace")
        ended = text[: text.rfind("\n") + 1]  # what comes after was being written
        found = list(csv.DictReader(io.StringIO(ended, newline="")))
        whole = [row for row in found if _NEEDED <= set(row) <= set(self._columns) and None not in row.values()]
        # earlier versions had fewer columns
        return {(row["identity"], row["key"]): {key: row.get(key, "") for key in self._columns} for row in whole}

    def _rewrite(self) -> None:
        text = io.StringIO()
        writer = csv.DictWriter(text, self._columns)
        writer.writeheader()
        writer.writerows(self.rows[key] for key in sorted(self.rows))
        write_whole(self._file, text.getvalue())

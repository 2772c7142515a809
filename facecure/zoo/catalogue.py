"""What the zoo holds: `zoo.toml` as dataclasses."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, Literal

from facecure.errors import InputError
from facecure.extractors.spec import ExtractorSpec, parse_spec

Kind = Literal["extractor", "detector", "perceptual distance"]


@dataclass(frozen=True, slots=True)
class ZooFile:
    """One file of weights: `name` in the cache, where it comes from, and what is known of its content.

    `sha256` and `md5` are the publisher's; `reported` is a SHA-256 that others saw. `size` is in bytes.
    """

    name: str
    urls: tuple[str, ...] = ()
    page: str | None = None
    size: int | None = None
    sha256: str | None = None
    md5: str | None = None
    reported: str | None = None


@dataclass(frozen=True, slots=True)
class ZooEntry:
    """One entry; `licence` is the weights' terms, `data_terms` those of the training set.

    `preprocessing` is an extractor's spec without name and weights, empty for the other kinds.
    """

    name: str
    kind: Kind
    files: tuple[ZooFile, ...]
    training_set: str
    data_terms: str
    licence: str
    year: int
    paper: str
    note: str
    preprocessing: dict[str, Any]

    @property
    def size(self) -> int | None:
        """Return the bytes of all files, None where one is not known."""
        sizes = [file.size for file in self.files]
        return None if None in sizes else sum(size or 0 for size in sizes)

    @property
    def architecture(self) -> str | None:
        """Return the name of the torch network, None where the file is ONNX."""
        return self.preprocessing.get("architecture")

    @property
    def embedding_size(self) -> int | None:
        """Return how many values an embedding has, None where only the file says."""
        size: int | None = self.preprocessing.get("embedding", {}).get("size")
        return size

    def spec(self, weights: Path, sha256: str | None, embedding_size: int) -> ExtractorSpec:
        """Return the extractor's spec for a file of its weights."""
        embedding = {"size": embedding_size, **self.preprocessing.get("embedding", {})}
        table = {**self.preprocessing, "name": self.name, "weights": str(weights), "embedding": embedding}
        published = self.files[0].sha256 or self.files[0].md5
        promised: Any = "publisher" if published else "first use"
        return replace(parse_spec(table, weights.parent), sha256=sha256, sha256_from=promised)


@cache
def zoo() -> dict[str, ZooEntry]:
    """Return all entries by name, in the file's order."""
    tables = tomllib.loads((Path(__file__).parent / "zoo.toml").read_text(encoding="utf-8"))
    templates = tables.pop("templates")
    return {name: _entry(name, table, templates) for name, table in tables.items()}


def zoo_entry(name: str) -> ZooEntry:
    """Return the entry of a name; raises `InputError` with the closest names for one that is not there."""
    if name not in zoo():
        close = get_close_matches(name, zoo(), 3, 0.4)
        hint = f"did you mean {' or '.join(close)}?" if close else "see facecure models"
        raise InputError(f"the zoo has no {name!r}; {hint}")
    return zoo()[name]


def _entry(name: str, table: dict[str, Any], templates: dict[str, Any]) -> ZooEntry:
    files = tuple(ZooFile(**{**file, "urls": tuple(file.get("urls", ()))}) for file in table.pop("files"))
    kind: Kind = table.pop("kind", "extractor")
    paper, note = table.pop("paper"), table.pop("note", "")
    about = table["about"]
    if "face" in table:
        table["face"] = templates[table["face"]]
    return ZooEntry(
        name=name,
        kind=kind,
        files=files,
        training_set=about.get("training_set", "not stated"),
        data_terms=about.get("data_terms", "not stated"),
        licence=about.get("licence", "not stated"),
        year=about["year"],
        paper=paper,
        note=note,
        preprocessing=table if kind == "extractor" else {},
    )

"""An extractor as data: weights, their digest and the preprocessing they were trained with, from a TOML file."""

from __future__ import annotations

import hashlib
import tomllib
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from facecure.errors import DigestMismatch, InputError
from facecure.kernels import Normalise
from facecure.types import FaceGeometry, digest_of

_FACE_OPTIONS = ("interpolation", "border", "padding", "stretch")  # at the top level or under [face]
_KEYS = {
    "": {"name", "weights", "sha256", "input", "embedding", "face", "about", *_FACE_OPTIONS},
    "input": {"width", "height", "colour", "layout", "mean", "std"},
    "embedding": {"size", "normalise"},
    "face": {"mode", "canvas", "template", "region", *_FACE_OPTIONS},
    "about": {"training_set", "licence", "year"},
}


@dataclass(frozen=True, slots=True)
class ExtractorSpec:
    """One extractor; everything that can change an embedding is in `digest`.

    `mean` and `std` are in the order of the input planes, on 0…255. `sha256` is None where the spec gives none.
    """

    name: str
    weights: Path
    sha256: str | None
    geometry: FaceGeometry
    colour: Literal["RGB", "BGR"]
    layout: Literal["NCHW", "NHWC"]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    embedding_size: int
    normalise: bool
    training_set: str = "not stated"
    licence: str = "not stated"
    year: int | None = None

    def __post_init__(self) -> None:
        Normalise(self.mean, self.std, self.colour)  # raises on values no table can be made of
        if self.layout not in ("NCHW", "NHWC"):
            raise InputError(f"layout is NCHW or NHWC, not {self.layout!r}")
        if self.embedding_size < 1:
            raise InputError(f"embedding size must be positive, not {self.embedding_size}")

    def preprocessing(self) -> dict[str, Any]:
        """Return everything between a decoded picture and an embedding, besides the weights."""
        keys = ("colour", "layout", "mean", "std", "embedding_size", "normalise")
        return {"face": asdict(self.geometry), **{key: getattr(self, key) for key in keys}}

    def verified_weights(self) -> bytes:
        """Return the weights' bytes after checking their SHA-256; raises `DigestMismatch` or `InputError`."""
        try:
            data = self.weights.read_bytes()
        except OSError as error:
            raise InputError(f"extractor {self.name}: weights {self.weights}: {error.strerror}") from error
        found = hashlib.sha256(data).hexdigest()
        if self.sha256 is not None and found != self.sha256:
            raise DigestMismatch(
                f"extractor {self.name}: {self.weights} has SHA-256 {found}, its spec says {self.sha256}. "
                "Fetch the file again, or correct the spec if the new file is the one you mean."
            )
        return data

    def digest(self, weights_sha256: str) -> str:
        """Return hex SHA-256 over weights and preprocessing: embeddings compare only within one digest."""
        return digest_of([weights_sha256, self.preprocessing()])


def read_spec(file: Path) -> ExtractorSpec:
    """Return the extractor described by a TOML file; raises `InputError` naming the file and the key to mend."""
    try:
        with file.open("rb") as stream:
            table = tomllib.load(stream)
    except OSError as error:
        raise InputError(f"extractor spec {file}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"extractor spec {file} is no TOML: {error}") from error
    try:
        return _parse(table, file.parent)
    except InputError as error:
        raise InputError(f"extractor spec {file}: {error}") from None
    except KeyError as error:
        raise InputError(f"extractor spec {file}: the key {error} is missing") from None
    except (TypeError, ValueError) as error:
        raise InputError(f"extractor spec {file}: {error}") from error


def _parse(table: dict[str, Any], folder: Path) -> ExtractorSpec:
    _reject_unknown(table)
    pixels, embedding, face, about = table["input"], table["embedding"], table.get("face", {}), table.get("about", {})
    if embedding.get("normalise", True) not in (True, False):
        raise InputError("embedding.normalise is true or false")
    sha256 = table.get("sha256")
    if sha256 is not None and (len(sha256) != 64 or set(sha256.lower()) - set("0123456789abcdef")):
        raise InputError("sha256 must be 64 hexadecimal digits; leave it out rather than guessing")
    options = {key: table[key] for key in _FACE_OPTIONS if key in table} | face
    for key in ("canvas", "region"):
        if key in options:
            options[key] = tuple(options[key])
    if "template" in options:
        options["template"] = tuple((float(x), float(y)) for x, y in options["template"])
    _one_of(options, "mode", ("crop", "align"))
    _one_of(options, "interpolation", ("bilinear", "bicubic"))
    _one_of(options, "border", ("black", "replicate"))
    return ExtractorSpec(
        name=str(table["name"]),
        weights=folder / table["weights"],
        sha256=None if sha256 is None else sha256.lower(),
        geometry=FaceGeometry(width=int(pixels["width"]), height=int(pixels["height"]), **options),
        colour=pixels.get("colour", "RGB"),
        layout=pixels.get("layout", "NCHW"),
        mean=_three(pixels, "mean"),
        std=_three(pixels, "std"),
        embedding_size=int(embedding["size"]),
        normalise=embedding.get("normalise", True),
        training_set=str(about.get("training_set", "not stated")),
        licence=str(about.get("licence", "not stated")),
        year=None if about.get("year") is None else int(about["year"]),
    )


def _three(table: dict[str, Any], key: str) -> tuple[float, float, float]:
    if len(table[key]) != 3:
        raise InputError(f"input.{key} needs three numbers, one per plane")
    first, second, third = map(float, table[key])
    return first, second, third


def _one_of(table: dict[str, Any], key: str, allowed: tuple[str, ...]) -> None:
    if key in table and table[key] not in allowed:
        raise InputError(f"{key} is one of {', '.join(allowed)}, not {table[key]!r}")


def _reject_unknown(table: dict[str, Any]) -> None:
    for section, known in _KEYS.items():
        part = table if section == "" else table.get(section, {})
        if not isinstance(part, dict):
            raise InputError(f"{section} must be a table")
        for key in part.keys() - known:
            close = get_close_matches(key, known, 1)
            hint = f"; did you mean {close[0]!r}?" if close else f"; known are {', '.join(sorted(known))}"
            raise InputError(f"unknown key {'.'.join(filter(None, (section, key)))!r}{hint}")

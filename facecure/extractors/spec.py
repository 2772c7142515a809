"""An extractor as data: weights, their digest and the preprocessing they were trained with, from a TOML file."""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from facecure.errors import DigestMismatch, InputError
from facecure.execution import Precision
from facecure.kernels import Normalise
from facecure.types import FaceGeometry, digest_of
from facecure.weights.onnx import take_in

_FACE_OPTIONS = ("interpolation", "border", "padding", "stretch")  # at the top level or under [face]
_TABLES = ("input", "embedding", "face", "about", "robust")
_KEYS = {
    "": {"name", "weights", "sha256", "architecture", "state", "exported_from", *_TABLES, *_FACE_OPTIONS},
    "input": {"width", "height", "colour", "layout", "mean", "std"},
    "embedding": {"size", "normalise", "mirror"},
    "face": {"mode", "canvas", "template", "region", "margin", *_FACE_OPTIONS},
    "about": {"training_set", "data_terms", "licence", "year"},
    "robust": {"parent", "parent_digest", "recipe", "cloaks", "identities"},
}

# who promised a SHA-256, and what to do where another file is meant
_PROMISES = {
    "spec": ("its spec", "correct the spec"),
    "publisher": ("its publisher", "give it a spec of its own"),
    "first use": ("the lock file, of the first that came,", "facecure models add FILE --as {} --replace"),
}


@dataclass(frozen=True, slots=True)
class RobustTraining:
    """Where a robust extractor comes from: its parent by name and digest, and what it was trained on.

    `cloaks` are those that it has seen, `identities` the people, who must not be evaluated.
    """

    parent: str
    parent_digest: str
    recipe: str
    cloaks: tuple[str, ...]
    identities: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ExtractorSpec:
    """One extractor; everything that can change an embedding is in `digest`.

    `mean` and `std` are in the order of the input planes, on 0…255. `sha256` is None where the spec gives none;
    `sha256_from` says who promised it.
    `architecture` names the network of a weights file (see `extractors.networks`), None for ONNX; `state` the keys,
    joined by dots, of its state dict in a checkpoint with several that fit. With `mirror` the raw embeddings of a face
    and of its mirror image are added. `licence` is the terms of the weights, `data_terms` those of the training set.
    `robust` is there for extractors trained on cloaks. `exported_from` is the digest of the extractor whose network a
    separate ONNX file holds: a cloak made against that one was made against this one too.
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
    architecture: str | None = None
    training_set: str = "not stated"
    data_terms: str = "not stated"
    licence: str = "not stated"
    year: int | None = None
    sha256_from: Literal["spec", "publisher", "first use"] = "spec"
    robust: RobustTraining | None = None
    state: str | None = None
    mirror: bool = False
    exported_from: str | None = None

    def __post_init__(self) -> None:
        Normalise(self.mean, self.std, self.colour)  # raises on values no table can be made of
        if self.embedding_size < 1:
            raise InputError(f"embedding size must be positive, not {self.embedding_size}")

    def preprocessing(self) -> dict[str, Any]:
        """Return everything between a decoded picture and an embedding, besides the weights, as JSON values."""
        keys = ("colour", "layout", "mean", "std", "embedding_size", "normalise")
        values = {"face": self.geometry.values(), **{key: getattr(self, key) for key in keys}}
        # what is not there leaves no mark: digests from before there was such a key hold
        values |= {key: value for key in ("architecture", "state") if (value := getattr(self, key)) is not None}
        if self.mirror:
            values["mirror"] = True
        plain: dict[str, Any] = json.loads(json.dumps(values))
        return plain

    def verified_weights(self) -> bytes:
        """Return the weights' bytes after checking their SHA-256; raises `DigestMismatch` or `InputError`."""
        return self.hashed_weights()[0]

    def hashed_weights(self) -> tuple[bytes, str]:
        """Return the weights' bytes and their hex SHA-256, checked; raises as `verified_weights` does.

        Values that an ONNX file keeps in other files of its folder are taken in; the hash is then of that file and
        those, one after the other (`cat model.onnx model.onnx.data | sha256sum`).
        """
        try:
            data = self.weights.read_bytes()
        except OSError as error:
            raise InputError(f"extractor {self.name}: weights {self.weights}: {error.strerror}") from error
        hashed = hashlib.sha256(data)
        if self.architecture is None:
            data, others = take_in(self.weights, data)
            for other in others:
                hashed.update(other)
        found = hashed.hexdigest()
        if self.sha256 is not None and found != self.sha256:
            who, cure = _PROMISES[self.sha256_from]
            raise DigestMismatch(
                f"extractor {self.name}: {self.weights} has SHA-256 {found}, {who} says {self.sha256}. "
                f"Fetch the file again, or {cure.format(self.name)} if the new file is the one you mean."
            )
        return data, found

    def digest(self, weights_sha256: str, precision: Precision = "fp32", calibration_sha256: str | None = None) -> str:
        """Return hex SHA-256 over weights, preprocessing and precision: embeddings compare only within one digest.

        In int8 also over what was calibrated. Runtimes of one precision share it: they round differently, by what
        `facecure certify` measures.
        """
        lower = [] if precision == "fp32" else [precision, *([calibration_sha256] if calibration_sha256 else [])]
        return digest_of([weights_sha256, self.preprocessing(), *lower])

    def identity(self, weights_sha256: str) -> str:
        """Return the digest of the network itself, in float32 and before it was exported, whatever runs it here.

        Extractors of one identity embed alike: a cloak made against one of them was made against all.
        """
        return self.exported_from or self.digest(weights_sha256)


def read_spec(file: Path) -> ExtractorSpec:
    """Return the extractor described by a TOML file; raises `InputError` naming the file and the key to mend."""
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8-sig"))  # some editors begin files with a mark
    except OSError as error:
        raise InputError(f"extractor spec {file}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"extractor spec {file} is not TOML: {error}") from error
    try:
        return parse_spec(table, file.parent)
    except InputError as error:
        raise InputError(f"extractor spec {file}: {error}") from None


def parse_spec(table: dict[str, Any], folder: Path) -> ExtractorSpec:
    """Return the extractor described by a table, its weights relative to `folder`; raises `InputError`."""
    return _parse(_Table(table), folder)


class _Table:
    """A TOML table whose values are asked for by type; every complaint names the key."""

    def __init__(self, values: dict[str, Any], name: str = "") -> None:
        self._values, self._name = values, name
        for key in values.keys() - _KEYS[name]:
            close = get_close_matches(key, _KEYS[name], 1)
            hint = f"; did you mean {close[0]!r}?" if close else f"; known are {', '.join(sorted(_KEYS[name]))}"
            raise InputError(f"unknown key {self._full(key)!r}{hint}")

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def table(self, key: str) -> _Table:
        return _Table(self._get(key, dict, {} if key in ("face", "about") else None), key)

    def text(self, key: str, default: str | None = None) -> str:
        return str(self._get(key, str, default))

    def texts(self, key: str) -> tuple[str, ...]:
        values = self._get(key, list)
        if not all(isinstance(value, str) for value in values):
            raise InputError(f"{self._full(key)} must be a list of texts, not {values!r}")
        return tuple(values)

    def whole(self, key: str) -> int:
        return int(self._get(key, int))

    def number(self, key: str) -> float:
        return float(self._get(key, (int, float)))

    def flag(self, key: str, default: bool) -> bool:
        return bool(self._get(key, bool, default))

    def numbers(self, key: str, count: int) -> tuple[float, ...]:
        return self._floats(key, self._get(key, list), count)

    def points(self, key: str) -> tuple[tuple[float, float], ...]:
        pairs = [self._floats(key, point, 2) for point in self._get(key, list)]
        return tuple((x, y) for x, y in pairs)

    def choice(self, key: str, allowed: tuple[str, ...]) -> Any:
        value = self.text(key, allowed[0])
        if value not in allowed:
            raise InputError(f"{self._full(key)} is one of {', '.join(allowed)}, not {value!r}")
        return value

    def _get(self, key: str, kind: type | tuple[type, ...], default: Any = None) -> Any:
        value = self._values.get(key, default)
        if value is None:
            raise InputError(f"the key {self._full(key)!r} is missing")
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            wanted: dict[Any, str] = {str: "text", int: "a whole number", bool: "true or false", list: "a list"}
            wanted[dict] = "a table"
            raise InputError(f"{self._full(key)} must be {wanted.get(kind, 'a number')}, not {value!r}")
        return value

    def _floats(self, key: str, values: Any, count: int) -> tuple[float, ...]:
        right = isinstance(values, list) and len(values) == count
        if not right or not all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
            raise InputError(f"{self._full(key)} needs {count} numbers, not {values!r}")
        return tuple(float(value) for value in values)

    def _full(self, key: str) -> str:
        return f"{self._name}.{key}" if self._name else key


def _parse(top: _Table, folder: Path) -> ExtractorSpec:
    pixels, embedding, face, about = (top.table(key) for key in ("input", "embedding", "face", "about"))
    name = top.text("name")
    if not re.fullmatch(r"[\w.+-]*\w[\w.+-]*", name):
        raise InputError(f"name {name!r} must be letters, digits and . _ + - only: files are called after it")
    sha256 = top.text("sha256").lower() if "sha256" in top else None
    if sha256 is not None and not re.fullmatch(r"[0-9a-f]{64}", sha256):
        raise InputError("sha256 must be 64 hexadecimal digits; leave it out rather than guessing")
    mean, std = pixels.numbers("mean", 3), pixels.numbers("std", 3)
    return ExtractorSpec(
        name=name,
        weights=folder / top.text("weights"),
        sha256=sha256,
        geometry=FaceGeometry(pixels.whole("width"), pixels.whole("height"), **_face_options(top, face)),
        colour=pixels.choice("colour", ("RGB", "BGR")),
        layout=pixels.choice("layout", ("NCHW", "NHWC")),
        mean=(mean[0], mean[1], mean[2]),
        std=(std[0], std[1], std[2]),
        embedding_size=embedding.whole("size"),
        normalise=embedding.flag("normalise", True),
        architecture=top.text("architecture") if "architecture" in top else None,
        state=top.text("state") if "state" in top else None,
        mirror=embedding.flag("mirror", False),
        training_set=about.text("training_set", "not stated"),
        data_terms=about.text("data_terms", "not stated"),
        licence=about.text("licence", "not stated"),
        year=about.whole("year") if "year" in about else None,
        robust=_robust(top.table("robust")) if "robust" in top else None,
        exported_from=top.text("exported_from") if "exported_from" in top else None,
    )


def _robust(table: _Table) -> RobustTraining:
    parent, digest, recipe = (table.text(key) for key in ("parent", "parent_digest", "recipe"))
    return RobustTraining(parent, digest, recipe, table.texts("cloaks"), table.texts("identities"))


def _face_options(top: _Table, face: _Table) -> dict[str, Any]:
    """Return the arguments of `FaceGeometry`; interpolation and the like may also stand at the top level."""
    where = {key: face if key in face else top for key in _FACE_OPTIONS}
    options: dict[str, Any] = {
        "mode": face.choice("mode", ("crop", "align", "box")),
        "interpolation": where["interpolation"].choice("interpolation", ("bilinear", "bicubic")),
        "border": where["border"].choice("border", ("black", "replicate")),
        "stretch": where["stretch"].flag("stretch", False),
    }
    if "padding" in where["padding"]:
        options["padding"] = where["padding"].number("padding")
    if "margin" in face:
        options["margin"] = face.whole("margin")
    if "canvas" in face:
        options["canvas"] = face.numbers("canvas", 2)
    if "region" in face:
        options["region"] = face.numbers("region", 4)
    if "template" in face:
        options["template"] = face.points("template")
    return options

"""Where the numbers of a report come from: rules, pictures, software and machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Protocol:
    """The rules of a run: `notes` say in words where they leave the released code."""

    name: str
    splits: int
    seed: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PictureCounts:
    """One set of pictures: people and pictures that took part, of how many `found` by name."""

    identities: int
    pictures: int
    found: int


@dataclass(frozen=True, slots=True)
class DetectorRan:
    """The face detector: its weights file, that file's SHA-256, and the digest of how it is used."""

    file: str
    sha256: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """What ran, and on what; defaults stand for what older reports do not say.

    `extractors` hold what each extractor says of itself (`Extractor.what_ran`); the keys depend on its runtime. There
    `digest` names its embeddings and `identity` its network, whatever it is exported to and whatever runs it.
    `recognisers` holds, per extractor, the facts that a recogniser tells of its work. `seconds` are per stage.
    """

    python: str
    cpu: str
    cpu_simd: str
    threads: int
    commit: str
    versions: dict[str, str]
    extractors: tuple[dict[str, Any], ...]
    detector: DetectorRan | None
    seconds: dict[str, float]
    platform: str = ""
    cpu_bf16: bool | None = None
    cpu_masks: dict[str, str] | None = None
    cpu_flags: tuple[str, ...] = ()
    threads_by: str = ""
    openmp: bool | None = None
    cuda_built: bool | None = None
    identification_device: str = "cpu"
    recognisers: dict[str, Any] | None = None

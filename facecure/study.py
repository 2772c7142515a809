"""What is asked, as data: pictures and their roles, extractors, recogniser, scenario, protocol, splits, seed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, get_args

from facecure.errors import InputError
from facecure.extractors.extractor import Extractor
from facecure.pictures.manifest import PictureSets, check_unprotected, read_sets
from facecure.protocols.rules import PROTOCOLS
from facecure.protocols.scenario import Scenario
from facecure.recognisers.recogniser import Training
from facecure.recognisers.registry import RECOGNISERS
from facecure.registry import check_name
from facecure.types import Named, ProtocolName, digest_of


@dataclass(frozen=True, slots=True)
class PictureSources:
    """Where the pictures are, by the part that they take.

    `clean` is a folder `<identity>/<picture>` or a manifest; `cloaked` maps a cloak's name to the folder of its
    pictures, `unprotected` to that of its clean counterparts where they differ from `clean`. People in `distractors`
    are enrolled and never searched. Raises `InputError` without any cloak.
    """

    clean: Path
    cloaked: Mapping[str, Path]
    unprotected: Mapping[str, Path] = field(default_factory=dict)
    distractors: tuple[Path, ...] = ()

    @classmethod
    def of(
        cls, clean: Named, cloaked: Mapping[str, Named], unprotected: Mapping[str, Named] | None = None,
        distractors: Sequence[Named] = (),
    ) -> PictureSources:  # fmt: skip
        """Return the sources that paths or their spellings name."""
        return cls(
            Path(clean), _paths(cloaked), _paths(unprotected or {}), tuple(Path(source) for source in distractors)
        )

    def __post_init__(self) -> None:
        if not self.cloaked:
            raise InputError("name at least one cloak: its name and the folder with its pictures")
        check_unprotected(self.cloaked, self.unprotected)

    def read(self) -> PictureSets:
        """Return the samples of all sources, cloaked ones paired to clean ones; raises as `read_sets` does."""
        return read_sets(self.clean, self.cloaked, self.unprotected, self.distractors)

    def values(self) -> dict[str, Any]:
        """Return the sources as plain values."""
        return {
            "clean": str(self.clean),
            "cloaked": {name: str(path) for name, path in self.cloaked.items()},
            "unprotected": {name: str(path) for name, path in self.unprotected.items()},
            "distractors": [str(path) for path in self.distractors],
        }


@dataclass(frozen=True, slots=True)
class Cell:
    """One question of a study, which has one answer; `digest` is the same wherever the same is asked."""

    recogniser: str
    scenario: Scenario
    extractor: str
    cloak: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """Everything that is asked; how it is computed is an `Execution`'s to say.

    `extractors` are spec files, names of the zoo or objects with `embed`; `detector` is a YuNet ONNX file or a name of
    the zoo (default: FACECURE_DETECTOR), needed where an extractor aligns. `recogniser` is a name of the registry;
    "end-to-end" fine-tunes each extractor's torch network as `training` says, once per protected identity and split.
    `scenario` is "baseline", "oblivious", for which every extractor states its year, or "adaptive", for extractors of
    `train_robust` and people whom these have not seen. `repeats` is the number of random splits, None for the
    protocol's own. Raises `InputError` for what cannot be asked.
    """

    pictures: PictureSources
    extractors: Sequence[Named | Extractor]
    recogniser: str = "nn"
    scenario: Scenario = "baseline"
    protocol: ProtocolName = "corrected"
    repeats: int | None = None
    seed: int = 0
    training: Training = field(default_factory=Training)
    detector: Named | None = None

    def __post_init__(self) -> None:
        check_name(PROTOCOLS, self.protocol, "protocol")
        check_name(get_args(Scenario), self.scenario, "scenario")
        check_name(RECOGNISERS, self.recogniser, "recogniser")
        object.__setattr__(self, "extractors", tuple(self.extractors))
        if not self.extractors:
            raise InputError("name at least one extractor")
        if self.repeats is not None and self.repeats < 1:
            raise InputError(f"repeats must be 1 or more, not {self.repeats}")

    @property
    def splits(self) -> int:
        """Return the number of splits: as many as are asked for, unless the protocol has only one."""
        return PROTOCOLS[self.protocol].splits(self.repeats)

    @property
    def warnings(self) -> list[str]:
        """Return what is asked and cannot be answered."""
        if self.repeats is None or self.repeats == self.splits:
            return []
        return [f"{self.protocol} has exactly one split; the {self.repeats} asked for were not made"]

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Study:
        """Return the study of plain values, as `Study.values` returns them; what has a default may be left out.

        Raises `InputError` for an unknown key.
        """
        _known("a study", values, cls)
        _known("its pictures", values.get("pictures", {}), PictureSources)
        _known("its training", values.get("training", {}), Training)
        given = dict(values)
        try:
            given["pictures"] = PictureSources.of(**given["pictures"])
            given["training"] = Training(**given.get("training", {}))
            return cls(**given)
        except (KeyError, TypeError) as error:
            raise InputError("a study names pictures (clean and cloaked) and extractors") from error

    def values(self) -> dict[str, Any]:
        """Return the study as plain values, for a file; raises `InputError` where an extractor is an object."""
        for extractor in self.extractors:
            if not isinstance(extractor, (str, os.PathLike)):
                raise InputError(
                    f"extractor {extractor.spec.name} is an object, which cannot be written down; name its spec file"
                )
        return self._values()

    @property
    def digest(self) -> str:
        """Return a hash of all that is asked, whatever order names were given in."""
        return digest_of(self._values())

    def cells(self) -> Iterator[Cell]:
        """Yield every question, cloak after cloak, as a report lists the answers."""
        for cloak in self.pictures.cloaked:
            for extractor in map(_name, self.extractors):
                digest = self._digest_of_cell(extractor, cloak)
                yield Cell(self.recogniser, self.scenario, extractor, cloak, digest)

    def _digest_of_cell(self, extractor: str, cloak: str) -> str:
        pictures = self.pictures.values()
        for role in ("cloaked", "unprotected"):
            pictures[role] = {name: path for name, path in pictures[role].items() if name == cloak}
        return digest_of(self._values() | {"pictures": pictures, "extractors": [extractor]})

    def _values(self) -> dict[str, Any]:
        return {
            "pictures": self.pictures.values(),
            "extractors": [_name(extractor) for extractor in self.extractors],
            "recogniser": self.recogniser,
            "scenario": self.scenario,
            "protocol": self.protocol,
            "repeats": self.splits,
            "seed": self.seed,
            "training": {each.name: getattr(self.training, each.name) for each in fields(self.training)},
            "detector": None if self.detector is None else os.fspath(self.detector),
        }


def _name(extractor: Named | Extractor) -> str:
    """Return a path or name as it was given, and an object's name with its digest."""
    if isinstance(extractor, (str, os.PathLike)):
        return os.fspath(extractor)
    return f"{extractor.spec.name} {extractor.digest}"


def _paths(sources: Mapping[str, Named]) -> dict[str, Path]:
    return {name: Path(source) for name, source in sources.items()}


def _known(what: str, values: Mapping[str, Any], asked: type[Any]) -> None:
    for key in values:
        check_name((each.name for each in fields(asked)), key, f"key of {what}")

"""What a run of `facecure.cloak` will do: cloaks, surrogates and detector, checked before any long work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from facecure.cloaks.apply.fitting import Fitting, fitting_of
from facecure.cloaks.apply.output import QUALITY, CloakOutput
from facecure.cloaks.options import CloakOptions
from facecure.cloaks.registry import parse
from facecure.errors import InputError
from facecure.execution import Execution, torch_device
from facecure.pictures.detect import Detector

if TYPE_CHECKING:
    from facecure.cloaks.surrogate import Surrogate


@dataclass(frozen=True, slots=True)
class Plan:
    """The cloaks of a run, one or those of a mix, and what they are made with.

    `detector` is None where no face has to be found.
    """

    fittings: tuple[Fitting, ...]
    detector: Detector | None
    options: CloakOptions
    output: CloakOutput
    execution: Execution

    @property
    def surrogates(self) -> Sequence[Surrogate]:
        """Return the surrogates, the same for all cloaks."""
        return self.fittings[0].cloak.surrogates

    @property
    def aiming(self) -> Fitting | None:
        """Return the first of the cloaks that aims at other people, if any does."""
        return next((fitting for fitting in self.fittings if fitting.cloak.aims), None)

    def parameters(self, targets: object) -> dict[str, Any]:
        """Return everything that decides the run's pictures, as JSON values; `targets` is the folder of them."""
        image_format = self.output.image_format
        return {
            "cloak": [
                {"name": str(fit.part), "share": fit.part.share, **fit.cloak.parameters()} for fit in self.fittings
            ],
            "protocol": self.options.protocol,
            "seed": self.options.seed,
            "whole": self.output.whole,
            "exif": self.output.keep_exif,
            "format": image_format if image_format == "png" else f"{image_format}, quality {QUALITY}",
            "surrogates": [
                {
                    "name": surrogate.name, "digest": surrogate.digest, "architecture": surrogate.architecture,
                    "precision": surrogate.precision,
                    "sees": "the face aligned" if all(f.aligned(i) for f in self.fittings) else "the whole face",
                }
                for i, surrogate in enumerate(self.surrogates)
            ],
            "detector": None if self.detector is None else self.detector.digest,
            "targets": None if self.aiming is None else str(targets),
            "device": str(torch_device(self.execution.device)),
        }  # fmt: skip


def make_plan(
    name: str,
    surrogates: Sequence[Surrogate],
    detector: Detector | None,
    options: CloakOptions,
    output: CloakOutput,
    execution: Execution,
) -> Plan:
    """Return the plan for a cloak's name; raises `InputError` where its parts do not fit each other."""
    parts = parse(name)
    if output.keep_exif and not (output.whole or any(part.cloak.size is None for part in parts)):
        raise InputError("face crops carry no metadata; keep_exif is for whole photos")
    fittings = tuple(fitting_of(part, surrogates, options, whole=output.whole) for part in parts)
    searched = any(fitting.needs_landmarks for fitting in fittings)
    if searched and detector is None:
        raise InputError(
            "faces have to be found, in photos and for surrogates that align them: name yunet of the zoo or a YuNet "
            "ONNX file as detector or by FACECURE_DETECTOR (face crops under protocol facecure-2021 need none)"
        )
    return Plan(fittings, detector if searched else None, options, output, execution)

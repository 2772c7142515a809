"""What the searcher does about cloaks, and whether an extractor fits that: baseline, oblivious, adaptive."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from facecure.errors import InputError
from facecure.extractors.spec import ExtractorSpec
from facecure.types import Sample

Scenario = Literal["baseline", "oblivious", "adaptive"]


def check_extractors(scenario: Scenario, specs: Sequence[ExtractorSpec]) -> None:
    """Raise `InputError`, saying what they lack, unless the extractors fit the scenario."""
    for spec in specs:
        if scenario == "oblivious" and spec.year is None:
            raise InputError(
                f"extractor {spec.name}: the oblivious scenario orders extractors by their release; add year = … under "
                "[about] in its spec"
            )
        if scenario == "adaptive" and spec.robust is None:
            raise InputError(
                f"extractor {spec.name} was not trained on cloaks; make one that was: facecure train-robust {spec.name}"
            )


def check_identities(specs: Sequence[ExtractorSpec], samples: Iterable[Sample]) -> list[str]:
    """Return warnings about other people whom an extractor was trained on; raises `InputError` for protected ones."""
    people = {(sample.identity, sample.role) for sample in samples}
    protected = {identity for identity, role in people if role == "cloaked"}
    others = {identity for identity, _ in people} - protected
    warnings = []
    for spec in specs:
        trained_on = set(spec.robust.identities) if spec.robust else set()
        if both := sorted(trained_on & protected):
            raise InputError(
                f"extractor {spec.name} was trained on cloaked pictures of {', '.join(both[:5])}, who cannot be "
                "evaluated with it; train on other people, or leave them out"
            )
        if count := len(trained_on & others):
            warnings.append(
                f"extractor {spec.name} was trained on {count} of the other people of the gallery: their error is not "
                "that on strangers"
            )
    return warnings

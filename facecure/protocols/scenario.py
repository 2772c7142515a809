"""What the searcher does about cloaks, and whether an extractor fits that: baseline, oblivious, adaptive."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Literal

from facecure.errors import InputError
from facecure.extractors.spec import ExtractorSpec

Scenario = Literal["baseline", "oblivious", "adaptive"]
SCENARIOS: tuple[Scenario, ...] = ("baseline", "oblivious", "adaptive")
# the surrogates of the original tools, by the names of the zoo (docs/protocol.md §4-6)
_ORIGINAL = {
    "fawkes-v0.3": ("fawkes-high",),
    "fawkes-v1.0": ("fawkes-extractor-0", "fawkes-extractor-2"),
    "lowkey": ("lowkey-ir152-arcface", "lowkey-ir152-cosface", "lowkey-resnet152-arcface", "lowkey-resnet152-cosface"),
}


def check_extractors(scenario: Scenario, specs: Sequence[ExtractorSpec]) -> None:
    """Return where the extractors fit the scenario; raises `InputError` saying what they lack."""
    if scenario not in SCENARIOS:
        raise InputError(f"scenario is one of {', '.join(SCENARIOS)}, not {scenario!r}")
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


def check_identities(specs: Sequence[ExtractorSpec], protected: Collection[str], others: Collection[str]) -> list[str]:
    """Return warnings about other people whom an extractor was trained on; raises `InputError` for protected ones."""
    warnings = []
    for spec in specs:
        known = set(spec.robust.identities) if spec.robust else set()
        if both := sorted(known & set(protected)):
            raise InputError(
                f"extractor {spec.name} was trained on cloaked pictures of {', '.join(both[:5])}, who cannot be "
                "evaluated with it; train on other people, or leave them out"
            )
        if count := len(known & set(others)):
            warnings.append(
                f"extractor {spec.name} was trained on {count} of the other people of the gallery: their error is not "
                "that on strangers"
            )
    return warnings


def white_box(cloak: str, source: Path, spec: ExtractorSpec, digest: str) -> bool | None:
    """Return whether the cloak was made against this very extractor, or its export, None where that is not known.

    `source` is the cloaked pictures' folder or manifest: `facecure cloak` writes its surrogates beside it. For pictures
    of the original tools, by the cloak's name, it is the extractor's name in the zoo.
    """
    for file in (source.parent / "cloak.json", source / "cloak.json"):
        if file.is_file():
            try:
                surrogates = json.loads(file.read_text(encoding="utf-8"))["surrogates"]
                return bool({digest, spec.exported_from} & {surrogate["digest"] for surrogate in surrogates})
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise InputError(f"{file} is damaged ({type(error).__name__}: {error})") from error
    for name, surrogates in _ORIGINAL.items():
        if cloak.startswith(name):
            return spec.name in surrogates
    return None

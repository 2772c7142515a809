"""Who else stands in the gallery: without other people 1-NN, or any classifier, can give one answer only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from facecure.errors import InputError
from facecure.protocols.split import Split
from facecure.types import Exclusion, Sample

MOST_BY_CHANCE = 0.1


@dataclass(frozen=True, slots=True)
class Others:
    """The fewest other people and pictures that stood beside a protected person, over people and splits.

    `chance` is the share of probes that an answer at random would identify, the mean over people and splits: no cloak,
    be it that of a person made unrecognisable, can be seen to protect more than the rest.
    """

    people: int
    pictures: int
    chance: float


def check_others(samples: Iterable[Sample], excluded: Sequence[Exclusion] = ()) -> None:
    """Raise `InputError` unless two people or more can be enrolled: one alone is identified whatever happens.

    `excluded` are the pictures that no longer count among the `samples`.
    """
    people = {sample.identity for sample in samples if sample.role in ("clean", "distractor")}
    if len(people) < 2:
        left_out = f" ({len(excluded)} pictures excluded, {excluded[0].path}: {excluded[0].reason})" if excluded else ""
        raise InputError(
            f"the gallery holds nobody but {next(iter(people), 'no one')}{left_out}: every search would find them, and "
            "a rate would say nothing about cloaks. Add other people as distractors, or to the clean pictures",
            parameter="distractors",
        )


def others(splits: Sequence[Split], samples: Sequence[Sample], cloak: str) -> Others | None:
    """Return who else was enrolled while people were searched under a cloak, None where nobody was."""
    strangers = len({samples[row].identity for row in splits[0].distractors}) if splits else 0
    beside = []
    for split in splits:
        counts = np.bincount(
            split.enrolled_labels, minlength=1 + max((p.label for p in split.protected[cloak]), default=0)
        )
        for person in split.protected[cloak]:
            if len(person.probes) and len(person.cloaked):
                people = int((counts > 0).sum()) - bool(counts[person.label]) + strangers
                pictures = int(counts.sum() - counts[person.label]) + len(split.distractors)
                beside.append((people, pictures, len(person.cloaked)))
    if not beside:
        return None
    people, pictures, own = np.array(beside).T
    # as if people were drawn, or pictures, whichever finds the person more often
    chance = np.maximum(1 / (1 + people), own / (own + pictures))
    return Others(int(people.min()), int(pictures.min()), float(chance.mean()))


def few_others(cloak: str, beside: Others | None) -> list[str]:
    """Return a warning where answers at random would find more than a tenth: the rate then has a low ceiling."""
    if beside is None or beside.chance <= MOST_BY_CHANCE:
        return []
    return [
        f"{cloak}: only {beside.people} other people with {beside.pictures} pictures stand in the gallery; answers at "
        f"random would find {100 * beside.chance:.0f} % of the probes, so no cloak can show more protection than the "
        "rest. Add other people as distractors"
    ]

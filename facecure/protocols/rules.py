"""What a protocol decides, as data: nothing else compares its name."""

from __future__ import annotations

from dataclasses import dataclass

from facecure.types import ProtocolName


@dataclass(frozen=True, slots=True)
class ProtocolRules:
    """The rules by which pictures are counted and divided, and the `notes` that a report gives of them.

    `repeats` is the number of splits where nobody asks for one, and `drawn_once` says that there are never more.
    `by_content`: the same picture twice is one, and never on both sides of a split; otherwise files are counted.
    `running`: positions are those of the released code's generator; otherwise each picture has a place of its own.
    `of_equal_length`: a person's clean pictures without a cloaked one are no probes while they are protected.
    `recognisers_divide`: a recogniser whose released code takes the last pictures by name as probes does so (Q24).
    `stopped`: linear classifiers end where the released code stops them (Q31); otherwise at their minimum.
    """

    name: ProtocolName
    notes: tuple[str, ...]
    repeats: int
    drawn_once: bool
    by_content: bool
    running: bool
    of_equal_length: bool
    recognisers_divide: bool
    stopped: bool

    def splits(self, repeats: int | None) -> int:
        """Return how many splits are made where `repeats` are asked for, None for the protocol's own number."""
        return self.repeats if self.drawn_once or repeats is None else repeats


_CORRECTED = ProtocolRules(
    "corrected",
    (
        "pictures are counted by content: the same one twice is one, and never on both sides of a split",
        "one split per identity, drawn from its own picture names: nobody's split depends on other people (§7.1, §7.2)",
        "several splits instead of one",
        "clean and cloaked pictures pair by exact stem, never by position or substring (Q13, Q21, Q23)",
        "the clean baseline is measured on the same probes, not on other people (§7.6)",
    ),
    repeats=10,
    drawn_once=False,
    by_content=True,
    running=False,
    of_equal_length=False,
    recognisers_divide=False,
    stopped=False,
)
_RELEASED = ProtocolRules(
    "facecure-2021",
    (
        "splits of the released code: random.seed(10), running over identities for other people, re-seeded for each "
        "protected identity (§7.1, §7.2)",
        "pairing is by exact stem; for the study's sha1 names that equals the released sorted positions",
        "one split: its interval omits the split's own variance",
    ),
    repeats=1,
    drawn_once=True,
    by_content=False,
    running=True,
    of_equal_length=True,
    recognisers_divide=True,
    stopped=True,
)
PROTOCOLS: dict[str, ProtocolRules] = {rules.name: rules for rules in (_CORRECTED, _RELEASED)}

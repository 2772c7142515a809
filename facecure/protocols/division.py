"""A table divided as a study asks: all its splits, and who stands beside the protected people in each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from facecure.embeddings.table import EmbeddingTable
from facecure.protocols.gallery import Others, few_others, others
from facecure.protocols.rules import PROTOCOLS
from facecure.protocols.split import Split, make_split
from facecure.types import ProtocolName


@dataclass(frozen=True, slots=True)
class Division:
    """The `splits` of a table, with protected people under each name of a cloak; `beside` is who else was enrolled.

    `cloaks` maps these names to the cloaks that were given: pictures that were given as cloaked and are not, the rows
    `uncloaked`, are counted under the cloak's own name, and left out under another one beside it.
    """

    splits: tuple[Split, ...]
    cloaks: Mapping[str, str]
    uncloaked: Mapping[str, Sequence[int]]
    beside: Mapping[str, Others | None]

    @property
    def warnings(self) -> list[str]:
        """Return what there is to say of cloaks with few other people beside."""
        return [
            warning for name in dict.fromkeys(self.cloaks.values()) for warning in few_others(name, self.beside[name])
        ]


def divide(
    table: EmbeddingTable, uncloaked: Mapping[str, Sequence[int]], cloaks: Sequence[str], protocol: ProtocolName,
    *, seed: int, repeats: int | None, by_name: bool = False,
) -> Division:  # fmt: skip
    """Return the protocol's splits of the rows that take part: `repeats` of them, as far as it has several.

    With `by_name` the probes are the last pictures by name where the protocol lets a recogniser say so (Q24).
    """
    rules = PROTOCOLS[protocol]
    last = by_name and rules.recognisers_divide
    splits = [
        make_split(table.samples, cloaks, protocol, seed, repeat, rows=table.rows, last=last)
        for repeat in range(rules.splits(repeats))
    ]
    given = {name: name for name in cloaks}
    for cloak, rows in uncloaked.items():
        name = f"{cloak} without its uncloaked"
        given[name] = cloak
        splits = [split.leaving_out(cloak, rows, name) for split in splits]
    beside = {name: others(splits, table.samples, name) for name in given}
    return Division(tuple(splits), given, uncloaked, beside)

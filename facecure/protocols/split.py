"""Gallery and probes of a run, from samples alone: the same for every extractor.

`facecure-2021` draws as the released code does (docs/protocol.md §7.1, §7.2): one generator over all identities for
their role as *other people*, one seeded anew for each *protected* identity. There a picture missing from one identity
moves the splits of all later ones. `corrected` ranks each picture by a hash of (seed, split, identity, picture), so no
identity depends on another, and removing a picture changes the side of at most one other.
"""

from __future__ import annotations

import hashlib
import random
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from facecure.protocols.rules import PROTOCOLS
from facecure.types import I64, ProtocolName, Sample

PROBE_SHARE = 0.3


@dataclass(frozen=True, slots=True)
class Protected:
    """One identity under one cloak: rows of the embedding table.

    `probes` are clean and searched; `cloaked` are enrolled under attack and `clean` are the same pictures without.
    """

    identity: str
    label: int
    probes: I64
    clean: I64
    cloaked: I64


@dataclass(frozen=True, slots=True)
class Split:
    """One division into gallery and probes: rows of the embedding table, int64, identities sorted.

    `enrolled` are everybody's gallery rows in their role as other people, `controls` their probes; labels number the
    identities. `distractors` are enrolled and never searched.
    """

    enrolled: I64
    enrolled_labels: I64
    controls: I64
    control_labels: I64
    distractors: I64
    protected: Mapping[str, tuple[Protected, ...]]

    def leaving_out(self, cloak: str, rows: Collection[int], name: str) -> Split:
        """Return the split with one cloak more, called `name`: the same without those of its cloaked rows."""
        group = []
        for person in self.protected[cloak]:
            kept = ~np.isin(person.cloaked, list(rows))
            group.append(replace(person, clean=person.clean[kept], cloaked=person.cloaked[kept]))
        return replace(self, protected={**self.protected, name: tuple(group)})


def make_split(
    samples: Sequence[Sample], cloaks: Sequence[str], protocol: ProtocolName, seed: int, repeat: int, *,
    rows: Sequence[int] | None = None, last: bool = False,
) -> Split:  # fmt: skip
    """Return split number `repeat` of the samples at `rows`, default all; row i of the table is `samples[i]`.

    `seed` and `repeat` are not used by `facecure-2021`, which has the one split of `random.seed(10)`. With `last` the
    probes of protected identities are the last 30 % by name, as the released end-to-end code takes them (Q24).

    >>> from pathlib import Path
    >>> names = [f"{k}" for k in range(10)]
    >>> samples = [Sample("ann", Path("clean", k), k, "clean", "") for k in names]
    >>> samples += [Sample("ann", Path("cloaked", k), k, "cloaked", "fawkes") for k in names]
    >>> split = make_split(samples, ["fawkes"], "corrected", seed=0, repeat=0)
    >>> (ann,) = split.protected["fawkes"]
    >>> len(ann.probes), len(ann.cloaked)
    (3, 7)
    >>> bool(set(ann.probes) & set(ann.clean))
    False
    """
    rules = PROTOCOLS[protocol]
    rows = range(len(samples)) if rows is None else rows
    sets: dict[tuple[str, str], dict[str, dict[str, int]]] = defaultdict(lambda: defaultdict(dict))
    for i in sorted(rows, key=lambda i: samples[i].order):
        sample = samples[i]
        sets[sample.role, sample.cloak][sample.identity][sample.key] = i
    people = sets["clean", ""]
    labels = {identity: label for label, identity in enumerate(people)}

    running = random.Random(10)

    def positions(identity: str, keys: Sequence[str], generator: random.Random) -> set[int]:
        if rules.running:
            return released_positions(len(keys), generator)
        return hashed_positions(identity, keys, seed, repeat)

    enrolled: list[int] = []
    controls: list[int] = []
    for identity, pictures in people.items():
        test = positions(identity, list(pictures), running)
        for position, row in enumerate(pictures.values()):
            (controls if position in test else enrolled).append(row)

    protected: dict[str, tuple[Protected, ...]] = {}
    for cloak in cloaks:
        entries = []
        for identity, cloaked in sets["cloaked", cloak].items():
            uncloaked = sets.get(("unprotected", cloak), people).get(identity, {})
            if rules.of_equal_length:
                uncloaked = {key: row for key, row in uncloaked.items() if key in cloaked}
            keys = list(uncloaked)
            test = last_positions(len(keys)) if last else positions(identity, keys, random.Random(10))
            own = [key for position, key in enumerate(uncloaked) if position not in test and key in cloaked]
            entries.append(
                Protected(
                    identity,
                    labels[identity],
                    _rows(row for position, row in enumerate(uncloaked.values()) if position in test),
                    _rows(uncloaked[key] for key in own),
                    _rows(cloaked[key] for key in own),
                )
            )
        protected[cloak] = tuple(sorted(entries, key=lambda entry: entry.identity))

    def label_of(rows: Sequence[int]) -> I64:
        return _rows(labels[samples[row].identity] for row in rows)

    # dicts of the sorted samples: distractors come in the order their folders were named
    distractors = [i for i in rows if samples[i].role == "distractor"]
    return Split(
        _rows(enrolled), label_of(enrolled), _rows(controls), label_of(controls), _rows(distractors), protected
    )


def released_positions(count: int, generator: random.Random) -> set[int]:
    """Return the test positions among `count` pictures: the next sample call of the released code's generator.

    >>> sorted(released_positions(10, random.Random(10)))
    [0, 6, 9]
    """
    return set(generator.sample(range(count), int(PROBE_SHARE * count)))


def last_positions(count: int) -> set[int]:
    """Return the positions after the first 70 % of `count` pictures (docs/protocol.md §8).

    >>> sorted(last_positions(10))
    [7, 8, 9]
    """
    return set(range(int(0.7 * count), count))


def hashed_positions(identity: str, keys: Sequence[str], seed: int, repeat: int) -> set[int]:
    """Return the test positions among an identity's pictures: the 30 % of lowest hash, one at least of two or more."""

    def rank(position: int) -> bytes:
        text = "\0".join((str(seed), str(repeat), identity, keys[position]))
        return hashlib.blake2b(text.encode(), digest_size=16).digest()

    count = max(int(PROBE_SHARE * len(keys)), 1 if len(keys) > 1 else 0)
    return set(sorted(range(len(keys)), key=rank)[:count])


def _rows(rows: Iterable[int]) -> I64:
    return np.fromiter(rows, np.int64)

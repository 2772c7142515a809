"""Whose faces a person's pictures aim at, for cloaks that aim (docs/protocol.md §4, Target selection)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache
from itertools import islice

import numpy as np

from facecure.cloaks.apply.batch import seed_of
from facecure.cloaks.apply.fitting import Fitting, SourceFace, batch_of
from facecure.cloaks.apply.reading import FaceReader
from facecure.cloaks.targets import PICTURES, assign_targets, choose_target
from facecure.errors import InputError
from facecure.execution import Progress
from facecure.types import F32, Exclusion, Sample

_HELD = 32  # people whose faces are kept in memory
_BATCH = 16  # faces that are embedded at a time


class Targets:
    """The faces of other people, one for each sample of `samples`; `excluded` are pictures of others without a face.

    The cloaks of a mix that aim see the same faces: `fitting` is one of them.
    """

    def __init__(
        self, fitting: Fitting, reader: FaceReader, samples: Sequence[Sample], others: Sequence[Sample], *, seed: int,
        progress: Progress,
    ) -> None:  # fmt: skip
        self.excluded: list[Exclusion] = []
        self._fitting, self._reader, self._progress = fitting, reader, progress
        self._others: dict[str, list[Sample]] = defaultdict(list)
        for sample in others:
            self._others[sample.identity].append(sample)
        self._faces = lru_cache(maxsize=_HELD)(self._read)
        # identity -> whom it aims at, and key -> which of their faces
        self._aims: dict[str, tuple[str, dict[str, int]]] = {}
        self._choose(samples, others, seed)

    def of(self, sample: Sample) -> SourceFace:
        """Return the face at which a sample aims; raises `InputError` where its file is gone."""
        target, numbers = self._aims[sample.identity]
        faces = self._faces(target)
        if numbers[sample.key] >= len(faces):
            raise InputError(f"pictures of {target}, whom {sample.identity} aims at, are no longer there; run again")
        return faces[numbers[sample.key]]

    def _choose(self, samples: Sequence[Sample], others: Sequence[Sample], seed: int) -> None:
        theirs = self._embeddings(others, "targets", self.excluded)
        mean = {name: np.mean(vectors, axis=0) for name, vectors in theirs.items()}
        keys: dict[str, list[str]] = defaultdict(list)
        for sample in samples:
            keys[sample.identity].append(sample.key)
        # pictures of these people without a face are listed when they are to be cloaked
        for identity, own in self._embeddings(samples, "people", []).items():
            names = [name for name in mean if name != identity]
            candidates = np.array([mean[name] for name in names], np.float32)
            drawn = seed_of(seed, "target", identity)
            target = names[choose_target(np.array(own), candidates, drawn)]
            numbers = assign_targets(len(keys[identity]), min(len(theirs[target]), PICTURES), drawn)
            self._aims[identity] = target, dict(zip(keys[identity], numbers, strict=True))

    def _embeddings(self, samples: Sequence[Sample], stage: str, excluded: list[Exclusion]) -> dict[str, list[F32]]:
        """Return, per identity, one vector per usable picture: all surrogates' embeddings, joined."""
        vectors: dict[str, list[F32]] = defaultdict(list)
        waiting: list[SourceFace] = []
        for done, loaded in enumerate(self._reader.read(samples), start=1):
            faces = self._reader.faces(self._fitting, loaded)
            if isinstance(faces, Exclusion):
                excluded.append(faces)
            else:
                waiting += faces[:1]
            if waiting and (len(waiting) == _BATCH or done == len(samples)):
                for face, vector in zip(waiting, self._embedded(waiting), strict=True):
                    vectors[face.sample.identity].append(vector)
                waiting.clear()
            self._progress(f"{stage}: embeddings", done, len(samples))
        return vectors

    def _embedded(self, faces: Sequence[SourceFace]) -> F32:
        surrogates, batch = self._fitting.cloak.surrogates, batch_of(faces)
        pictures, grids = batch.pictures(surrogates), batch.grids(surrogates)
        parts = [s.embed(pictures, grid).cpu().numpy() for s, grid in zip(surrogates, grids, strict=True)]
        return np.concatenate(parts, axis=1)

    def _read(self, target: str) -> list[SourceFace]:
        """Return a target's usable faces, in the order in which they were counted."""
        read = (self._reader.faces(self._fitting, loaded) for loaded in self._reader.read(self._others[target]))
        mains = (faces[0] for faces in read if not isinstance(faces, Exclusion))
        return list(islice(mains, PICTURES))

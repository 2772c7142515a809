"""The work of `facecure.cloak`: batches filled across people, each picture written whole, read back and measured."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from facecure.cloaks.apply.batch import cloak_batch, seed_of
from facecure.cloaks.apply.fitting import Fitting, SourceFace, batch_of
from facecure.cloaks.apply.ledger import Ledger
from facecure.cloaks.apply.plan import Plan
from facecure.cloaks.apply.reading import FaceReader
from facecure.cloaks.apply.targets import Targets
from facecure.cloaks.apply.writer import Writer
from facecure.pictures.load import IN_FLIGHT
from facecure.runs.atomic import writing
from facecure.threads import thread_count
from facecure.types import Exclusion, Sample

if TYPE_CHECKING:
    from facecure.cloaks.loop import Record

BATCH = 16  # pictures at a time unless the execution says another number
_PHOTOS_HELD = IN_FLIGHT  # bytes of photos whose faces wait for a batch to fill


class CloakRun:
    """One run of a plan; `before` counts pictures cloaked earlier, `excluded` lists those left out.

    `others` are the samples that cloaks may aim at. With a reference batch people never share a batch, and batches have
    its size, for there they change cloaks.
    """

    def __init__(self, plan: Plan, ledger: Ledger, samples: Sequence[Sample], others: Sequence[Sample]) -> None:
        self.before = 0
        self._plan, self._ledger, self._progress = plan, ledger, plan.execution.progress
        self._writer = Writer(ledger, plan.output)
        self._reader = FaceReader(plan.fittings, plan.detector, plan.output, thread_count(plan.execution.threads))
        self._trace = None if plan.output.trace is None else Path(plan.output.trace)
        if self._trace is not None:
            with writing(self._trace):
                self._trace.write_text("")
        self._targets = None
        if plan.aiming is not None:
            seed = plan.options.seed
            self._targets = Targets(plan.aiming, self._reader, samples, others, seed=seed, progress=self._progress)
        self.excluded = [] if self._targets is None else list(self._targets.excluded)
        self._samples = self._nameable(samples)
        self._total = len(samples)

    @property
    def written(self) -> int:
        """Return how many pictures were written."""
        return self._writer.written

    def go(self) -> None:
        """Cloak what is not done yet; fewer pictures at a time where photos are large, for all of a batch are held."""
        coupled = self._plan.options.reference_batch
        size = coupled or self._plan.execution.batch or BATCH
        waiting: dict[Fitting, list[SourceFace]] = defaultdict(list)

        def settle(fitting: Fitting) -> None:
            if waiting[fitting]:
                self._cloak(fitting, waiting.pop(fitting))
                self._progress("cloaked", self.written + self.before, self._total)

        self._progress("cloaked", 0, self._total)
        for loaded in self._reader.read(self._samples, self._is_done):
            if loaded.faces is None and loaded.excluded is None:
                self.before += 1
                continue
            fitting = self._fitting(loaded.sample)
            faces = self._reader.faces(fitting, loaded)
            if isinstance(faces, Exclusion):
                self.excluded.append(faces)
                faces = []
            for face in faces:
                if coupled and waiting[fitting] and waiting[fitting][0].sample.identity != face.sample.identity:
                    settle(fitting)
                waiting[fitting].append(face)
                # photos of their own size go alone
                if len(waiting[fitting]) == (size if fitting.cloak.size else 1):
                    settle(fitting)
            if not coupled and _photo_bytes(chain.from_iterable(waiting.values())) >= _PHOTOS_HELD:
                for fitting in list(waiting):
                    settle(fitting)
        for fitting in list(waiting):
            settle(fitting)
        self._progress("cloaked", self._total, self._total)

    def _is_done(self, sample: Sample, sha256: str) -> bool:
        return self._ledger.is_done(sample.identity, sample.key, sha256)

    def _nameable(self, samples: Sequence[Sample]) -> list[Sample]:
        """Return the samples whose cloaked pictures can have their names; take down the others."""
        reasons = [self._writer.nameless(self._fitting(sample), sample) for sample in samples]
        self.excluded += [Exclusion(s.path, reason) for s, reason in zip(samples, reasons, strict=True) if reason]
        return [sample for sample, reason in zip(samples, reasons, strict=True) if not reason]

    def _fitting(self, sample: Sample) -> Fitting:
        """Return which of a mix cloaks a sample, drawn by seed and name alone."""
        at = seed_of(self._plan.options.seed, "mix", sample.identity, sample.key) / 2**64
        for fitting in self._plan.fittings[:-1]:
            at -= fitting.part.share
            if at < 0:
                return fitting
        return self._plan.fittings[-1]

    def _cloak(self, fitting: Fitting, faces: Sequence[SourceFace]) -> None:
        targets = [] if self._targets is None or not fitting.cloak.aims else [self._targets.of(f.sample) for f in faces]
        seed = self._plan.options.seed
        seeds = [seed_of(seed, "start", face.sha256, str(face.place.frame) if face.place else "") for face in faces]

        def note(record: Record) -> None:
            self._progress("iterations of this batch", record.iteration, fitting.cloak.iterations)
            if self._trace is not None:
                _append(self._trace, fitting, faces, record)

        pictures = cloak_batch(fitting.cloak, batch_of(faces), seeds, batch_of(targets) if targets else None, note)
        names = [target.sample.identity for target in targets] or [""] * len(faces)
        for face, cloaked, name in zip(faces, pictures, names, strict=True):
            self._writer.put(fitting, face, cloaked, name)


def _append(trace: Path, fitting: Fitting, faces: Sequence[SourceFace], record: Record) -> None:
    with trace.open("a", encoding="utf-8") as file:
        for i, face in enumerate(faces):
            line = {
                "identity": face.sample.identity, "key": face.sample.key, "cloak": str(fitting.part),
                "iteration": record.iteration, "loss": float(record.loss[i]), "feature": float(record.feature[i]),
                "visible": float(record.visible[i]),
                "weight": None if record.weight is None else float(record.weight[i]),
                "accepted": bool(record.accepted[i]),
            }  # fmt: skip
            file.write(json.dumps(line) + "\n")


def _photo_bytes(faces: Iterable[SourceFace]) -> int:
    """Return the bytes of the photos that faces lie in, each counted once."""
    photos = {id(face.place.photo): face.place.photo.nbytes for face in faces if face.place is not None}
    return sum(photos.values())

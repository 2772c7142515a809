"""The work of `facecure cloak`: batches filled across people, each picture written whole, read back and measured."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from facecure.cloaks.apply.faces import Tool, ToolFace
from facecure.cloaks.apply.ledger import Ledger
from facecure.cloaks.apply.writer import Format, Writer, quantised
from facecure.cloaks.targets import PICTURES, assign_targets, choose_target
from facecure.errors import InputError
from facecure.execution import Progress
from facecure.pictures.detect import Detector
from facecure.pictures.load import IN_FLIGHT, Loaded, load_faces
from facecure.pictures.manifest import read_samples
from facecure.runs.atomic import writing
from facecure.types import F32, Exclusion, Sample, digest_of

if TYPE_CHECKING:
    from facecure.cloaks.loop import Record

_TARGETS_HELD = 32  # people whose faces are kept in memory
_SMALLEST = 32  # side of a photo that can hold a face
_PHOTOS_HELD = IN_FLIGHT  # bytes of photos whose faces wait for a batch to fill


class CloakRun:
    """One run over samples; `before` counts pictures done earlier, `excluded` lists those left out."""

    def __init__(
        self, ledger: Ledger, tools: Sequence[Tool], detector: Detector | None, *, seed: int, threads: int,
        trace: Path | None, progress: Progress, image_format: Format, exif: bool,
    ) -> None:  # fmt: skip
        self.before = 0
        self.excluded: list[Exclusion] = []
        self._ledger, self._tools, self._seed, self._threads = ledger, tools, seed, threads
        self._detector = detector if any(tool.needs_landmarks for tool in tools) else None
        self._trace, self._progress = trace, progress
        self._writer = Writer(ledger, image_format, exif=exif)
        self._aims: dict[str, tuple[str, dict[str, int]]] = {}  # identity -> target, key -> which of their faces
        self._others: dict[str, list[Sample]] = defaultdict(list)  # whom one may aim at
        self._target_faces = lru_cache(maxsize=_TARGETS_HELD)(self._read_target)
        if trace is not None:
            with writing(trace):
                trace.write_text("")

    @property
    def written(self) -> int:
        """Return how many pictures were written."""
        return self._writer.written

    def go(self, samples: Sequence[Sample], batch: int, *, by_identity: bool) -> None:
        """Cloak what is not done yet, `batch` pictures at a time; `by_identity` never mixes people in a batch.

        Fewer where photos are large, for all of a batch are held; but not `by_identity`, where batches change cloaks.
        """
        waiting: dict[Tool, list[ToolFace]] = defaultdict(list)

        def settle(tool: Tool) -> None:
            if waiting[tool]:
                self._cloak(tool, waiting.pop(tool))
                self._progress("cloaked", self.written + self.before, len(samples))

        self._progress("cloaked", 0, len(samples))
        for loaded in self._read(self._nameable(samples), done=False):
            tool = self._tool(loaded.sample)
            if loaded.faces is None and loaded.excluded is None:
                self.before += 1
                continue
            for face in self._faces(tool, loaded):
                if by_identity and waiting[tool] and waiting[tool][0].sample.identity != face.sample.identity:
                    settle(tool)
                waiting[tool].append(face)
                # photos of their own size go alone
                if len(waiting[tool]) == (batch if tool.cloak.size else 1):
                    settle(tool)
            if not by_identity and _photo_bytes(chain.from_iterable(waiting.values())) >= _PHOTOS_HELD:
                for tool in list(waiting):
                    settle(tool)
        for tool in list(waiting):
            settle(tool)
        self._progress("cloaked", len(samples), len(samples))

    def _nameable(self, samples: Sequence[Sample]) -> list[Sample]:
        """Return the samples whose cloaked pictures can have their names; take down the others."""
        reasons = [self._writer.nameless(self._tool(sample), sample) for sample in samples]
        self.excluded += [Exclusion(s.path, reason) for s, reason in zip(samples, reasons, strict=True) if reason]
        return [sample for sample, reason in zip(samples, reasons, strict=True) if not reason]

    def choose_targets(self, samples: Sequence[Sample], source: Path) -> None:
        """Choose whom each person's pictures aim at, for tools that aim (§4, Target selection)."""
        tool = self._aiming()
        others, excluded, _ = read_samples(source)
        self.excluded += excluded
        for sample in others:
            self._others[sample.identity].append(sample)
        theirs = self._embeddings(tool, others, "targets")
        mean = {name: np.mean(found, axis=0) for name, found in theirs.items()}
        keys: dict[str, list[str]] = defaultdict(list)
        for sample in samples:
            keys[sample.identity].append(sample.key)
        for identity, own in self._embeddings(tool, samples, "people").items():
            names = [name for name in mean if name != identity]
            table = np.array([mean[name] for name in names], np.float32)
            seed = _seed(self._seed, "target", identity)
            chosen = names[choose_target(np.array(own), table, seed)]
            which = assign_targets(len(keys[identity]), min(len(theirs[chosen]), PICTURES), seed)
            self._aims[identity] = chosen, dict(zip(keys[identity], which, strict=True))

    def _embeddings(self, tool: Tool, samples: Sequence[Sample], stage: str) -> dict[str, list[F32]]:
        """Return, per identity, one vector per usable picture: all surrogates' embeddings, joined."""
        found: dict[str, list[F32]] = defaultdict(list)
        faces: list[ToolFace] = []
        for done, loaded in enumerate(self._read(samples), start=1):
            faces += self._faces(tool, loaded, note=stage == "targets")[:1]
            if faces and (len(faces) == 16 or done == len(samples)):
                pixels, grids = tool.pixels(faces), tool.grids(faces)
                parts = [
                    s.embed(pixels, grid).cpu().numpy() for s, grid in zip(tool.cloak.surrogates, grids, strict=True)
                ]
                for one, vector in zip(faces, np.concatenate(parts, axis=1), strict=True):
                    found[one.sample.identity].append(vector)
                faces.clear()
            self._progress(f"{stage}: embeddings", done, len(samples))
        return found

    def _read(self, samples: Sequence[Sample], *, done: bool = True) -> Iterator[Loaded]:
        """Yield samples with their faces; unless `done`, those cloaked before without."""

        def known(sample: Sample, sha256: str) -> bool:
            return not done and self._ledger.is_done(sample.identity, sample.key, sha256)

        return load_faces(samples, [tool.geometry for tool in self._tools], self._detector, self._threads, known)

    def _faces(self, tool: Tool, loaded: Loaded, *, note: bool = True) -> list[ToolFace]:
        """Return a sample's faces, the main one first; where there is none, take down why unless that was done."""
        reason = loaded.excluded
        if reason is None:
            assert loaded.faces is not None
            cut = loaded.faces[self._tools.index(tool)]
            try:
                why = self._writer.oversized(cut)
                if min(cut.shape[:2]) < _SMALLEST:
                    why = f"too small: {cut.shape[1]}×{cut.shape[0]} pixels"
                if not why:
                    return tool.faces(loaded, cut)
                reason = Exclusion(loaded.sample.path, why)
            except np.linalg.LinAlgError:
                reason = Exclusion(loaded.sample.path, "no face: its landmarks fall into one point")
        if note:
            self.excluded.append(reason)
        return []

    def _tool(self, sample: Sample) -> Tool:
        """Return which of a mix cloaks a sample, drawn by seed and name alone."""
        at = _seed(self._seed, "mix", sample.identity, sample.key) / 2**64
        for tool in self._tools[:-1]:
            at -= tool.choice.share
            if at < 0:
                return tool
        return self._tools[-1]

    def _cloak(self, tool: Tool, faces: Sequence[ToolFace]) -> None:
        from facecure.cloaks.loop import Sources, run

        aims = [self._aim(tool, face.sample) for face in faces]
        targets = [aim for aim in aims if aim is not None]
        grids = tool.grids(faces)
        sources = Sources(
            tool.pixels(faces),
            grids,
            [_seed(self._seed, "start", face.sha256, str(face.place.frame) if face.place else "") for face in faces],
            tool.pixels(targets) if targets else None,
            tool.grids(targets) if targets else (),
        )
        state = tool.cloak.start(sources)
        for record in run(tool.cloak, state):
            self._progress("iterations of this batch", record.iteration, tool.cloak.iterations)
            if self._trace is not None:
                self._note(self._trace, tool, faces, record)
        pictures = quantised(tool.cloak.finish(state).cpu().numpy(), truncate=tool.released)
        for i, (face, cloaked, aim) in enumerate(zip(faces, pictures, aims, strict=True)):
            own = [None if grid is None else grid[i : i + 1] for grid in grids]
            self._writer.put(tool, face, cloaked, aim.sample.identity if aim else "", own)

    def _aim(self, tool: Tool, sample: Sample) -> ToolFace | None:
        if tool.choice.name != "fawkes-v0.3":
            return None
        target, which = self._aims[sample.identity]
        faces = self._target_faces(target)
        if which[sample.key] >= len(faces):
            raise InputError(f"pictures of {target}, whom {sample.identity} aims at, are no longer there; run again")
        return faces[which[sample.key]]

    def _aiming(self) -> Tool:
        """Return the tool that aims; several of a mix see the same faces."""
        return next(tool for tool in self._tools if tool.choice.name == "fawkes-v0.3")

    def _read_target(self, target: str) -> list[ToolFace]:
        """Return a target's usable faces, in the order in which they were counted."""
        found = (self._faces(self._aiming(), loaded, note=False)[:1] for loaded in self._read(self._others[target]))
        return list(islice(chain.from_iterable(found), PICTURES))

    def _note(self, trace: Path, tool: Tool, faces: Sequence[ToolFace], record: Record) -> None:
        with trace.open("a", encoding="utf-8") as file:
            for i, face in enumerate(faces):
                weight = None if record.weight is None else float(record.weight[i])
                line = {
                    "identity": face.sample.identity, "key": face.sample.key, "cloak": str(tool.choice),
                    "iteration": record.iteration, "loss": float(record.loss[i]), "feature": float(record.feature[i]),
                    "visible": float(record.visible[i]), "weight": weight, "accepted": bool(record.accepted[i]),
                }  # fmt: skip
                file.write(json.dumps(line) + "\n")


def _photo_bytes(faces: Iterable[ToolFace]) -> int:
    """Return the bytes of the photos that faces lie in, each counted once."""
    photos = {id(face.place.photo): face.place.photo.nbytes for face in faces if face.place is not None}
    return sum(photos.values())


def _seed(*parts: object) -> int:
    """Return 64 bits that depend on the parts alone."""
    return int(digest_of([str(part) for part in parts])[:16], 16)

"""Extractors trained on cloaks, so that a cloaked picture embeds near its clean ones.

Two recipes, each with `network` (what is trained), `model` and `optimiser` (what a checkpoint keeps) and `loss`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer

from facecure.errors import InputError
from facecure.extractors.spec import ExtractorSpec
from facecure.training.batches import BATCH, NetworkInput, UniformClasses
from facecure.training.fine_tuning import Classifier, adadelta
from facecure.types import I64, U8, Bool, Sample

RATE = 1e-3  # of matching; a third of it was slower on the shared assets and no kinder to clean pictures


@dataclass(frozen=True, slots=True)
class PublicFaces:
    """Clean and cloaked pictures of people whom nobody evaluates.

    `pixels` uint8 (N, H, W, 3) RGB in the extractor's geometry; `labels` int64 (N,) number the identities; `clean`
    int64 (N,) is the row of each picture's clean one, its own for clean pictures.
    """

    pixels: U8
    labels: I64
    clean: I64

    @classmethod
    def of(cls, samples: Sequence[Sample], pixels: U8) -> PublicFaces:
        """Return the faces of paired samples; raises `InputError` without any cloaked one."""
        rows = {(s.identity, s.key): row for row, s in enumerate(samples) if s.role == "clean"}
        copies = {(s.cloak, s.identity, s.key): row for row, s in enumerate(samples) if s.role == "unprotected"}
        clean = [
            row if s.role != "cloaked" else copies.get((s.cloak, s.identity, s.key), rows.get((s.identity, s.key), -1))
            for row, s in enumerate(samples)
        ]
        if all(s.role != "cloaked" for s in samples):
            raise InputError("there is no cloaked picture to train on")
        _, labels = np.unique([s.identity for s in samples], return_inverse=True)
        return cls(pixels, labels.astype(np.int64), np.array(clean, np.int64))

    @property
    def cloaked(self) -> I64:
        """Return the rows of cloaked pictures."""
        return np.flatnonzero(self.clean != np.arange(len(self.clean)))


class Recipe:
    """A way to train; in bf16 the passes are autocast, parameters and optimiser stay float32."""

    everybody: ClassVar[bool]  # whether people without cloaked pictures serve too
    network: nn.Module
    model: nn.Module
    optimiser: Optimizer

    def __init__(
        self, spec: ExtractorSpec, network: nn.Module, faces: PublicFaces, device: torch.device | str, bf16: bool
    ) -> None:
        self.network, self._faces, self._device = network.to(device, memory_format=torch.channels_last), faces, device  # type: ignore[call-overload]
        self._input, self._bf16 = NetworkInput(spec, faces.pixels), bf16

    def passed(self, module: nn.Module, rows: I64, mirrored: Bool) -> Tensor:
        """Return float32 (n, values): what a module makes of the faces of `rows`."""
        faces = self._input(rows, mirrored).to(self._device, memory_format=torch.channels_last)
        with torch.autocast(faces.device.type, torch.bfloat16, enabled=self._bf16):
            values: Tensor = module(faces)
        return values.float().reshape(len(rows), -1)

    def loss(self, step: int) -> Tensor:
        """Return the loss of a step, with gradients."""
        raise NotImplementedError


class Classification(Recipe):
    """The released recipe: identities of clean and cloaked pictures told apart under a dense layer (§8).

    Everything trains, batch norms included; Adadelta at rate 1.0.
    """

    everybody = False

    def __init__(
        self, spec: ExtractorSpec, network: nn.Module, faces: PublicFaces, seed: int, batch: int = BATCH,
        device: torch.device | str = "cpu", *, bf16: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(spec, network, faces, device, bf16)
        classes = int(faces.labels.max()) + 1
        if classes < 2:
            raise InputError("one person gives a classifier nothing to tell apart; name people of several folders")
        self.model = Classifier(network.train(), spec.embedding_size, classes, seed).to(device)
        self.optimiser = adadelta(self.model)
        self._drawn = UniformClasses(faces.labels, seed, batch=batch)
        self._labels = torch.from_numpy(faces.labels).to(device)

    def loss(self, step: int) -> Tensor:
        """Return the cross-entropy of a batch."""
        rows, mirrored = self._drawn(step)
        return functional.cross_entropy(self.passed(self.model, rows, mirrored), self._labels[torch.from_numpy(rows)])


class Matching(Recipe):
    """Cloaked pictures are drawn to where the original extractor has their clean ones, and clean ones kept there.

    The teacher is the extractor before training: what is learnt about cloaks shall cost little elsewhere, so half of
    each step are clean pictures, those of people without cloaks too. Batch norms keep their statistics; Adam.
    """

    everybody = True

    def __init__(
        self, spec: ExtractorSpec, network: nn.Module, faces: PublicFaces, seed: int, batch: int = BATCH,
        device: torch.device | str = "cpu", *, bf16: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(spec, network, faces, device, bf16)
        self.model = network.eval()
        self._goals = self._teach()
        network.requires_grad_(True)
        self.optimiser = torch.optim.Adam(network.parameters(), lr=RATE)
        self._rows = faces.cloaked, np.flatnonzero(faces.clean == np.arange(len(faces.clean)))
        self._drawn = [  # from streams of their own, or the same people would be drawn twice
            UniformClasses(faces.labels[rows], 2 * seed + i, batch=batch, mirror=0.5)
            for i, rows in enumerate(self._rows)
        ]

    def loss(self, step: int) -> Tensor:
        """Return the mean of 1 − cosine over a batch of cloaked pictures and one of clean ones."""
        draws = [drawn(step) for drawn in self._drawn]
        rows = np.concatenate([rows[some] for rows, (some, _) in zip(self._rows, draws, strict=True)])
        mirrored = np.concatenate([flip for _, flip in draws])
        goals = self._goals[torch.from_numpy(mirrored.astype(np.int64)), torch.from_numpy(self._faces.clean[rows])]
        embeddings = self.passed(self.network, rows, mirrored)
        return (1 - functional.cosine_similarity(embeddings, goals.to(self._device))).mean()

    @torch.no_grad()
    def _teach(self) -> Tensor:
        """Return the original embeddings, float32 (2, N, D): of the pictures, and of them mirrored."""
        rows = np.arange(len(self._faces.labels))
        sides = []
        for flip in (False, True):
            parts = np.array_split(rows, max(1, len(rows) // BATCH))
            sides.append(torch.cat([self.passed(self.network, part, np.full(len(part), flip)).cpu() for part in parts]))
        return torch.stack(sides)

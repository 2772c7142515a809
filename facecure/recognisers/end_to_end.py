"""The recogniser `end-to-end`: the extractor itself is trained to tell the people of the gallery apart (§8).

For each protected identity a copy of the extractor is fine-tuned under a dense layer on everybody's gallery pictures,
that person's cloaked, and searched with the clean probes. What the same training makes of clean pictures is the
baseline; where several people share it, it is done once.
"""

from __future__ import annotations

import copy
import io
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from facecure.errors import InputError
from facecure.execution import torch_device, torch_threads
from facecure.extractors.extractor import digest_in_float32
from facecure.extractors.runtimes.torch import load_network
from facecure.extractors.spec import ExtractorSpec
from facecure.protocols.split import Protected, Split
from facecure.recognisers.recogniser import Context, Facts, Recogniser, Training, not_searched, outcome_of
from facecure.runs.folder import RunFolder
from facecure.training.batches import NetworkInput, UniformClasses
from facecure.training.fine_tuning import Classifier, adadelta, train
from facecure.types import I64, U8, Outcome, digest_of

_PASS = 64  # faces of a prediction
_FORMAT = "facecure.predictions/2"  # int64 labels of all rows, as NumPy saves them


@dataclass(frozen=True, slots=True)
class Trainings(Facts):
    """How networks were trained, and how many `trainings` were not found in the store."""

    epochs: int
    steps: int
    batch: int
    seed: int
    device: str
    trainings: int = 0


class EndToEnd(Recogniser):
    """Trains and searches; `pixels` uint8 (N, H, W, 3) RGB are the faces of the table that splits index.

    `contents` names what each row holds, and `rows` those that take part, by default all. Predictions are kept under
    the folder `keep`, so that a repeated run trains nothing twice.
    """

    name = "end-to-end"
    words = "training end to end"
    needs = "faces"
    distractors = False
    by_name = True

    def __init__(
        self,
        spec: ExtractorSpec,
        network: nn.Module,
        pixels: U8,
        contents: Sequence[str],
        training: Training,
        *,
        digest: str,
        rows: Sequence[int] | None = None,
        device: torch.device | str = "cpu",
        keep: Path | None = None,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:
        self._spec, self._network, self._training, self._device = spec, network, training, device
        self._faces, self._contents = NetworkInput(spec, pixels), np.array(contents)
        self._rows = np.arange(len(contents)) if rows is None else np.array(rows, np.int64)
        self._digest, self._progress = digest, progress
        # what a prediction is of, its name says
        self._run = None if keep is None else RunFolder(keep, {"format": _FORMAT}, what="predictions")
        self._predicted: dict[str, I64] = {}
        self._facts = Trainings(self.name, self.words, **asdict(training), device=str(device))

    @classmethod
    def of(cls, context: Context) -> EndToEnd:
        """Return the recogniser that trains the extractor's own network on the table's faces."""
        spec, table, execution = context.extractor.spec, context.table, context.execution
        network, _ = load_network(spec)
        return cls(
            spec, network, table.cut(spec.geometry).pixels, table.sha256, context.training,
            digest=digest_in_float32(context.extractor), rows=table.rows, device=torch_device(execution.device),
            keep=None if context.store is None else context.store / "end-to-end",
            progress=lambda done, total: execution.progress(f"training of {spec.name}", done, total),
        )  # fmt: skip

    @property
    def settings(self) -> dict[str, Any]:
        """Return how long is trained, and from what seed."""
        return asdict(self._training)

    @property
    def facts(self) -> Trainings:
        """Return how networks were trained."""
        return self._facts

    def __call__(self, split: Split) -> dict[str, list[Outcome]]:
        """Return per cloak one `Outcome` per protected identity; nobody is `revealed_by` a single picture."""
        self.check(len(split.distractors))
        with self._run or nullcontext():
            return self._outcomes(split)

    def _outcomes(self, split: Split) -> dict[str, list[Outcome]]:
        people = sum(map(len, split.protected.values()))
        outcomes: dict[str, list[Outcome]] = {}
        done = 0
        for cloak, group in split.protected.items():
            outcomes[cloak] = []
            for person in group:
                outcomes[cloak].append(self._outcome(split, person))
                self._progress(done := done + 1, people)
        return outcomes

    def _outcome(self, split: Split, person: Protected) -> Outcome:
        if not len(person.cloaked):
            return not_searched(person)
        other = split.control_labels != person.label
        controls, truth = split.controls[other], split.control_labels[other]
        attacked = self._labels(split, person, person.cloaked)
        clean = self._labels(split, person, person.clean)
        return outcome_of(
            person,
            attacked[person.probes] == person.label,
            clean[person.probes] == person.label,
            attacked[person.cloaked] == person.label,
            attacked[controls] != truth,
        )

    def _labels(self, split: Split, person: Protected, own: I64) -> I64:
        """Return the predicted label of each row of the table that takes part, −1 of others.

        `own` are the rows that the gallery has of the person.
        """
        other = split.enrolled_labels != person.label
        rows = np.concatenate([split.enrolled[other], own])
        labels = np.concatenate([split.enrolled_labels[other], np.full(len(own), person.label)])
        order = np.lexsort((rows, labels))  # one order, whoever is protected, so that equal trainings are one
        rows, labels = rows[order], labels[order]
        trained_on = zip(self._contents[rows].tolist(), labels.tolist(), strict=True)
        key = digest_of([self._digest, asdict(self._training), self._contents[self._rows].tolist(), *trained_on])
        if key not in self._predicted:
            self._predicted[key] = np.full(len(self._contents), -1)
            self._predicted[key][self._rows] = self._kept(key, rows, labels)
        return self._predicted[key]

    def _kept(self, key: str, rows: I64, labels: I64) -> I64:
        name = f"{key}.npy"
        if self._run is not None and (data := self._run.get(name)) is not None:
            return np.load(io.BytesIO(data), allow_pickle=False)  # type: ignore[no-any-return]
        predicted = self._trained(rows, labels)
        if self._run is not None:
            content = io.BytesIO()
            np.save(content, predicted)
            self._run.put(name, content.getvalue())
            damaged = tuple(map(str, self._run.damaged))  # and trained again
            self._facts = replace(self._facts, damaged=damaged)
        return predicted

    @torch_threads()
    def _trained(self, rows: I64, labels: I64) -> I64:
        classes, targets = np.unique(labels, return_inverse=True)
        if len(classes) < 2:
            raise InputError("one person gives a classifier nothing to tell apart")
        how = self._training
        network = copy.deepcopy(self._network).to(self._device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        model = Classifier(network, self._spec.embedding_size, len(classes), how.seed).to(self._device).train()
        drawn = UniformClasses(labels, how.seed, batch=how.batch)
        wanted = torch.from_numpy(targets.astype(np.int64)).to(self._device)

        def loss(step: int) -> torch.Tensor:
            some, mirrored = drawn(step)
            faces = self._faces(rows[some], mirrored).to(self._device, memory_format=torch.channels_last)
            return functional.cross_entropy(model(faces), wanted[torch.from_numpy(some)])

        train(adadelta(model), loss, range(how.epochs * how.steps))
        self._facts = replace(self._facts, trainings=self._facts.trainings + 1)
        model.eval()
        parts = []
        with torch.inference_mode():
            for first in range(0, len(self._rows), _PASS):
                some = self._rows[first : first + _PASS]
                faces = self._faces(some, np.zeros(len(some), np.bool_)).to(self._device)
                parts.append(model(faces).argmax(1).cpu().numpy())
        return classes[np.concatenate(parts)]  # type: ignore[no-any-return]

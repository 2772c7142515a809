"""A robust training in a run folder: it goes on from its last checkpoint, and ends with an extractor."""

from __future__ import annotations

import hashlib
import io
import re
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from facecure.countermeasures.plan import TrainingPlan
from facecure.countermeasures.robust_training import Recipe
from facecure.execution import Progress
from facecure.extractors.spec import ExtractorSpec, RobustTraining
from facecure.extractors.spec_file import spec_text
from facecure.runs.folder import RunFolder
from facecure.training.fine_tuning import train

CHECKPOINT = "checkpoint.pt"


def train_in(run: RunFolder, recipe: Recipe, plan: TrainingPlan, progress: Progress) -> None:
    """Train the epochs that are not trained yet, each with a checkpoint and its mean loss in the run's state.

    Raises `Diverged` where a loss is not a number.
    """
    losses: list[float] = []
    if (data := run.get(CHECKPOINT)) is not None:
        before = torch.load(io.BytesIO(data), weights_only=True)
        recipe.model.load_state_dict(before["model"])
        recipe.optimiser.load_state_dict(before["optimiser"])
        losses = list(before["losses"])
    run.state["losses"] = losses
    total = plan.epochs * plan.steps
    for epoch in range(len(losses), plan.epochs):
        steps = range(epoch * plan.steps, (epoch + 1) * plan.steps)
        losses.append(train(recipe.optimiser, recipe.loss, steps, lambda done: progress("training", done, total)))
        states = {"model": recipe.model.state_dict(), "optimiser": recipe.optimiser.state_dict(), "losses": losses}
        run.put(CHECKPOINT, _saved(states))
        run.save()


def put_extractor(run: RunFolder, recipe: Recipe, parent: ExtractorSpec, robust: RobustTraining) -> Path:
    """Return the spec file of the trained network, written beside its weights, called after parent and cloaks."""
    name = re.sub(r"[^\w.+-]", "-", f"{parent.name}-robust-{'+'.join(robust.cloaks)}")
    weights = _saved({key: value.detach().cpu() for key, value in recipe.network.state_dict().items()})
    spec = replace(
        parent,
        name=name,
        weights=run.path / f"{name}.pt",
        sha256=hashlib.sha256(weights).hexdigest(),
        sha256_from="spec",
        state=None,
        training_set=f"{parent.training_set}; then cloaked pictures of {len(robust.identities)} people",
        year=time.gmtime().tm_year,
        robust=robust,
    )
    run.put(f"{name}.pt", weights)
    run.put(f"{name}.toml", spec_text(spec))
    return run.path / f"{name}.toml"


def _saved(states: dict[str, Any]) -> bytes:
    content = io.BytesIO()
    torch.save(states, content)
    return content.getvalue()

"""How an extractor is trained on cloaks: the recipe by its name, and how long."""

from __future__ import annotations

from dataclasses import dataclass

from facecure.errors import InputError
from facecure.registry import check_name

RECIPES = {
    "matching": "facecure.countermeasures.robust_training:Matching",
    "classification": "facecure.countermeasures.robust_training:Classification",
}


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """What is trained: `epochs` of `steps` of `batch` pictures each, drawn from `seed`; a checkpoint ends an epoch.

    `recipe` is "matching", towards the original's embeddings of clean pictures, for which people without cloaked ones
    serve too, or "classification", as released, which leaves them out.
    """

    recipe: str = "matching"
    epochs: int = 10
    steps: int = 500
    batch: int = 32
    seed: int = 0

    def __post_init__(self) -> None:
        check_name(RECIPES, self.recipe, "recipe")
        if min(self.epochs, self.steps, self.batch) < 1:
            raise InputError("epochs, steps and batch must be 1 or more")

"""Public pictures and cloaks of them → an extractor that is harder to hide from, as a spec beside its weights."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

from facecure.countermeasures.plan import RECIPES, TrainingPlan
from facecure.errors import InputError
from facecure.execution import Execution, torch_device, torch_threads
from facecure.extractors.runtimes.torch import load_network
from facecure.extractors.spec import RobustTraining
from facecure.pictures.manifest import read_samples, read_sets
from facecure.protocols.paired import paired_faces
from facecure.registry import class_of
from facecure.runs.environment import environment
from facecure.runs.folder import RunFolder
from facecure.types import Named, digest_of
from facecure.zoo.find import find_detector, find_spec


def train_robust(
    extractor: Named,
    clean: Named,
    cloaked: Mapping[str, Named],
    *,
    out: Named,
    unprotected: Mapping[str, Named] | None = None,
    evaluated: Named | None = None,
    plan: TrainingPlan = TrainingPlan(),
    detector: Named | None = None,
    execution: Execution = Execution(),
) -> Path:
    """Return the spec file of an extractor trained on cloaks, a fine-tuned copy of `extractor`.

    `clean`, `cloaked` and `unprotected` are the public people's pictures, as for `evaluate`. `evaluated` names a folder
    or manifest of the people who will be evaluated: anybody in both is an error. In precision "bf16" passes are
    autocast: faster, other weights. Under `out` an interrupted training goes on from its last epoch. The result is
    called after its parent and the cloaks, and is an extractor like any other.

    Raises `InputError`, `MissingDependency`, `DigestMismatch`, or `Diverged` where the loss is not a number.
    """
    device = torch_device(execution.device)
    if execution.precision not in ("fp32", "bf16"):
        raise InputError(f"training computes in fp32 or bf16, not {execution.precision}")
    if not cloaked:
        raise InputError("name at least one cloak to train on: its name and the folder with its pictures")
    from facecure.countermeasures.resumable import put_extractor, train_in
    from facecure.countermeasures.robust_training import PublicFaces

    recipe_class = class_of(RECIPES, plan.recipe, "recipe")
    parent = find_spec(extractor)
    if parent.architecture == "keras":
        raise InputError(f"extractor {parent.name}: a Keras file's own network cannot be written back yet")
    network, sha256 = load_network(parent)
    finder = find_detector(detector, parent)
    sets = read_sets(clean, cloaked, unprotected)
    if not recipe_class.everybody:
        people = {sample.identity for sample in sets.samples if sample.role == "cloaked"}
        sets = replace(sets, samples=tuple(sample for sample in sets.samples if sample.identity in people))
    _check_apart({sample.identity for sample in sets.samples}, evaluated)
    paired = paired_faces(sets, parent.geometry, finder, execution)
    samples, public = paired.samples, PublicFaces.of(paired.samples, paired.faces.pixels)
    identities = tuple(sorted({sample.identity for sample in samples}))
    robust = RobustTraining(parent.name, parent.digest(sha256), plan.recipe, tuple(cloaked), identities)
    pictures = digest_of([(s.role, s.cloak, s.identity, s.key) for s in samples])
    parameters = asdict(plan) | {
        "parent": parent.name, "parent_digest": robust.parent_digest, "cloaks": list(cloaked), "pictures": pictures,
        "precision": execution.precision,
    }  # fmt: skip
    with RunFolder(Path(out), parameters, what="training", free=["epochs"]) as run, torch_threads(execution.threads):
        started = time.perf_counter()
        bf16 = execution.precision == "bf16"
        recipe = recipe_class(parent, network, public, plan.seed, plan.batch, device, bf16=bf16)
        train_in(run, recipe, plan, execution.progress)
        run.state |= {
            "public": {"identities": len(identities), "pictures": len(samples), "cloaked": len(public.cloaked)},
            "excluded": [exclusion.stated for exclusion in paired.excluded],
            "warnings": [*sets.warnings, *run.remarks],
            "device": str(device),
            "seconds of this run": round(time.perf_counter() - started, 1),
            "environment": environment(),
        }
        return put_extractor(run, recipe, parent, robust)


def _check_apart(public: set[str], evaluated: Named | None) -> None:
    """Raise `InputError` where somebody is trained on who will be evaluated."""
    people = {sample.identity for sample in read_samples(evaluated)[0]} if evaluated is not None else set()
    if both := sorted(public & people):
        named = ", ".join(both[:5]) + (f" and {len(both) - 5} more" if len(both) > 5 else "")
        raise InputError(
            f"{named} would be trained on and evaluated; take them out of the cloaked pictures or of {evaluated}"
        )

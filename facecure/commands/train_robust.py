"""Public pictures and cloaks of them → an extractor that is harder to hide from, as a spec beside its weights."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from facecure.errors import InputError
from facecure.execution import Execution, Progress, silent, torch_device, torch_threads
from facecure.extractors.runtimes.torch import load_network
from facecure.extractors.spec import ExtractorSpec, RobustTraining
from facecure.extractors.spec_file import spec_text
from facecure.pictures.detect import check_detector
from facecure.pictures.load import stack_faces
from facecure.pictures.manifest import PictureSets, read_samples, read_sets
from facecure.protocols.paired import paired_rows
from facecure.runs.atomic import alone, write_whole
from facecure.runs.environment import environment
from facecure.threads import thread_count
from facecure.types import digest_of
from facecure.zoo.find import find_detector, find_spec

if TYPE_CHECKING:
    from facecure.countermeasures.robust_training import Recipe, RecipeName

_CHECKPOINT = "checkpoint.pt"


def train_robust(
    extractor: str | os.PathLike[str],
    clean: str | os.PathLike[str],
    cloaked: Mapping[str, str | os.PathLike[str]],
    *,
    out: str | os.PathLike[str],
    unprotected: Mapping[str, str | os.PathLike[str]] | None = None,
    evaluated: str | os.PathLike[str] | None = None,
    recipe: RecipeName = "matching",
    epochs: int = 10,
    steps: int = 500,
    batch: int = 32,
    detector: str | os.PathLike[str] | None = None,
    seed: int = 0,
    threads: int = 0,
    device: str = "cpu",
    precision: Literal["fp32", "bf16"] = "fp32",
    progress: Progress = silent,
) -> Path:
    """Return the spec file of an extractor trained on cloaks, a fine-tuned copy of `extractor`.

    `clean`, `cloaked` and `unprotected` are the public people's pictures, as for `evaluate`. `evaluated` names a folder
    or manifest of the people who will be evaluated: anybody in both is an error. `recipe` is "matching", towards the
    original's embeddings of clean pictures, for which people without cloaked ones serve too, or "classification", as
    released, which leaves them out. In `precision` "bf16" passes are autocast: faster, other weights. Each of `epochs`
    has `steps` of `batch` pictures and ends with a checkpoint under `out`, where an interrupted training goes on. The
    result is called after its parent and the cloaks, and is an extractor like any other.

    Raises `InputError`, `MissingDependency`, `DigestMismatch`, or `Diverged` where the loss is no number.
    """
    where = torch_device(device)
    from facecure.countermeasures.robust_training import RECIPES, PublicFaces

    if recipe not in RECIPES:
        raise InputError(f"recipe is one of {', '.join(RECIPES)}, not {recipe!r}")
    if min(epochs, steps, batch) < 1:
        raise InputError("epochs, steps and batch must be 1 or more")
    parent = find_spec(extractor)
    if parent.architecture == "keras":
        raise InputError(f"extractor {parent.name}: a Keras file's own network cannot be written back yet")
    network, sha256 = load_network(parent)
    finder = find_detector(detector)
    check_detector([parent.name] if parent.geometry.found else [], finder)
    sets = _public(clean, cloaked, unprotected, everybody=recipe == "matching")
    _check_apart({s.identity for s in sets.samples}, evaluated)
    threads = thread_count(threads)
    kept, faces, faceless = stack_faces(
        sets.samples, parent.geometry, finder, Execution(threads=threads, progress=progress)
    )
    rows, unpaired = paired_rows(kept, range(len(kept)))
    kept = [kept[row] for row in rows]
    public = PublicFaces.of(kept, faces.pixels[rows])
    identities = tuple(sorted({sample.identity for sample in kept}))
    robust = RobustTraining(parent.name, parent.digest(sha256), recipe, tuple(cloaked), identities)
    parameters = {
        "parent": parent.name, "parent_digest": robust.parent_digest, "recipe": recipe, "cloaks": list(cloaked),
        "pictures": digest_of([(s.role, s.cloak, s.identity, s.key) for s in kept]), "epochs": epochs, "steps": steps,
        "batch": batch, "seed": seed, "precision": precision,
    }  # fmt: skip
    folder = Path(out)
    with alone(folder):
        state = _State(folder, parameters)
        started = time.perf_counter()
        with torch_threads(threads):
            made = RECIPES[recipe](parent, network, public, seed, batch, where, bf16=precision == "bf16")
            state.resume(made)
            for epoch in range(len(state.losses), epochs):
                first = epoch * steps
                state.losses.append(_epoch(made, range(first, first + steps), epochs * steps, progress))
                state.keep(made)
        file = _write(folder, parent, robust, made)
        counts = {"identities": len(identities), "pictures": len(kept), "cloaked": len(public.cloaked)}
        excluded = [{"path": str(e.path), "reason": e.reason} for e in (*sets.excluded, *faceless, *unpaired)]
        state.finish(
            {"public": counts, "excluded": excluded, "warnings": list(sets.warnings), "device": str(where),
             "seconds of this run": round(time.perf_counter() - started, 1), "environment": environment()}
        )  # fmt: skip
        return file


def _public(
    clean: str | os.PathLike[str],
    cloaked: Mapping[str, str | os.PathLike[str]],
    unprotected: Mapping[str, str | os.PathLike[str]] | None,
    *,
    everybody: bool,
) -> PictureSets:
    """Return the pictures of everybody, or of everybody who has cloaked ones."""
    if not cloaked:
        raise InputError("name at least one cloak to train on: its name and the folder with its pictures")
    given = [{name: Path(folder) for name, folder in (folders or {}).items()} for folders in (cloaked, unprotected)]
    sets = read_sets(Path(clean), given[0], given[1], [])
    people = {sample.identity for sample in sets.samples if sample.role == "cloaked"}
    return replace(sets, samples=tuple(s for s in sets.samples if everybody or s.identity in people))


def _check_apart(public: set[str], evaluated: str | os.PathLike[str] | None) -> None:
    if evaluated is None:
        return
    samples, *_ = read_samples(Path(evaluated))
    if both := sorted(public & {sample.identity for sample in samples}):
        named = ", ".join(both[:5]) + (f" and {len(both) - 5} more" if len(both) > 5 else "")
        raise InputError(
            f"{named} would be trained on and evaluated; take them out of the cloaked pictures or of {evaluated}"
        )


def _epoch(made: Recipe, steps: range, total: int, progress: Progress) -> float:
    from facecure.training.fine_tuning import train

    return train(made.optimiser, made.loss, steps, lambda done: progress("training", done, total))


def _write(folder: Path, parent: ExtractorSpec, robust: RobustTraining, made: Recipe) -> Path:
    """Return the spec file of the trained network, written beside its weights."""
    import torch

    name = re.sub(r"[^\w.+-]", "-", f"{parent.name}-robust-{'+'.join(robust.cloaks)}")
    content = io.BytesIO()
    torch.save({key: value.detach().cpu() for key, value in made.network.state_dict().items()}, content)
    weights = folder / f"{name}.pt"
    write_whole(weights, content.getvalue())
    spec = replace(
        parent,
        name=name,
        weights=weights,
        sha256=hashlib.sha256(content.getvalue()).hexdigest(),
        sha256_from="spec",
        state=None,
        training_set=f"{parent.training_set}; then cloaked pictures of {len(robust.identities)} people",
        year=time.gmtime().tm_year,
        robust=robust,
    )
    file = folder / f"{name}.toml"
    write_whole(file, spec_text(spec))
    return file


class _State:
    """How far a training is: `training.json` has its parameters and losses, `checkpoint.pt` the model."""

    def __init__(self, folder: Path, parameters: dict[str, Any]) -> None:
        self._folder, self._parameters, self.losses = folder, parameters, list[float]()
        file = folder / "training.json"
        if not file.exists():
            return
        try:
            before = json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise InputError(f"{file} is damaged ({error}); delete it, or name another --out") from error
        other = [key for key, value in parameters.items() if before.get(key) != value and key != "epochs"]
        if other:
            raise InputError(f"{folder} holds a training with another {', '.join(other)}; name another --out")

    def resume(self, made: Recipe) -> None:
        """Return when model, optimiser and losses are those of the last checkpoint, if there is one."""
        import torch

        file = self._folder / _CHECKPOINT
        if not file.exists():
            return
        kept = torch.load(file, weights_only=True)
        made.model.load_state_dict(kept["model"])
        made.optimiser.load_state_dict(kept["optimiser"])
        self.losses = list(kept["losses"])

    def keep(self, made: Recipe) -> None:
        """Return when the checkpoint is written."""
        import torch

        content = io.BytesIO()
        state = {
            "model": made.model.state_dict(), "optimiser": made.optimiser.state_dict(), "losses": self.losses,
        }  # fmt: skip
        torch.save(state, content)
        self.finish({})
        write_whole(self._folder / _CHECKPOINT, content.getvalue())

    def finish(self, facts: dict[str, Any]) -> None:
        """Return when `training.json` says what was done and what ran."""
        text = json.dumps({**self._parameters, "losses": self.losses, **facts}, indent=1, ensure_ascii=False)
        write_whole(self._folder / "training.json", text + "\n")

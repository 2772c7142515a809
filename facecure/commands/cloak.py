"""Pictures in, cloaked pictures out: plan → run → write, all of it in `cloaks.apply`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from facecure.cloaks.apply.ledger import Ledger
from facecure.cloaks.apply.output import CloakOutput
from facecure.cloaks.apply.plan import make_plan
from facecure.cloaks.apply.run import CloakRun
from facecure.cloaks.apply.writer import COLUMNS
from facecure.cloaks.options import CloakOptions
from facecure.errors import InputError
from facecure.execution import Execution, torch_threads
from facecure.names import shown
from facecure.pictures.manifest import PictureSets, read_samples, read_sets
from facecure.runs.environment import environment
from facecure.runs.folder import RunFolder
from facecure.types import Exclusion, Named
from facecure.zoo.find import find_detector
from facecure.zoo.surrogates import NamedSurrogate, find_options, find_surrogates


@dataclass(frozen=True, slots=True)
class Cloaked:
    """A finished run: its folder, how many pictures were cloaked now and before, and what was left out.

    `rows` are those of `manifest.csv`, as text; `warnings` what a user should know of sources and of written pictures.
    """

    folder: Path
    written: int
    before: int
    excluded: tuple[Exclusion, ...]
    rows: tuple[dict[str, str], ...]
    warnings: tuple[str, ...] = ()


def cloak(
    pictures: Named,
    name: str,
    *,
    surrogates: Sequence[NamedSurrogate],
    out: Named,
    targets: Named | None = None,
    detector: Named | None = None,
    options: CloakOptions = CloakOptions(),
    output: CloakOutput = CloakOutput(),
    execution: Execution = Execution(),
) -> Cloaked:
    """Return what was cloaked of a folder or manifest of pictures; writes cloaked pictures and a manifest under `out`.

    `name` is that of a registered cloak with its mode, such as "fawkes-v1.0:high", or a mix of several. `surrogates`
    are specs with torch weights, names of the zoo, or pairs of any torch module and the spec of its preprocessing.
    `targets` is a folder of other people, for a cloak that aims at them. A `detector` finds the faces of whole photos,
    and those that surrogates see aligned. The batch of `execution` changes speed only, its precision is that of the
    surrogates, fp32 or bf16.

    Under `out` go `cloaked/<identity>/` with the tools' own names, `clean/<identity>/` with the same faces uncloaked,
    `manifest.csv` with what was measured on the written pictures, and `cloak.json`. Called again, it continues. Raises
    `InputError`, `MissingDependency` or `DigestMismatch` before any long work where that is possible.
    """
    opened = find_surrogates(surrogates, execution)
    options = find_options(name, options, execution)
    plan = make_plan(name, opened, find_detector(detector), options, output, execution)
    if plan.aiming is not None and targets is None:
        why = f"{plan.aiming.part} aims at other people: name a folder <identity>/<picture> as targets"
        raise InputError(why, parameter="targets")
    sets = _nameable(read_sets(Path(pictures), {}, {}, []))
    others, unreadable, _ = ([], [], ()) if plan.aiming is None or targets is None else read_samples(Path(targets))
    columns = [*COLUMNS, *(f"shift_{surrogate.name}" for surrogate in plan.surrogates)]
    with RunFolder(Path(out), plan.parameters(targets), what="cloak") as folder:
        ledger = Ledger(folder, columns)
        with torch_threads(execution.threads):
            run = CloakRun(plan, ledger, sets.samples, others)
            run.go()
        excluded = (*sets.excluded, *unreadable, *run.excluded)
        rows = tuple(ledger.rows.values())
        warnings = (*sets.warnings, *folder.remarks, *(f"{row['path']}: {row['note']}" for row in rows if row["note"]))
        ledger.finish([exclusion.stated for exclusion in excluded], environment(), warnings)
    if not run.written + run.before:
        reasons = "; ".join(f"{shown(e.path)}: {e.reason}" for e in excluded[:3])
        raise InputError(f"no picture of {shown(pictures)} could be cloaked: {reasons}")
    return Cloaked(Path(out), run.written, run.before, excluded, rows, warnings)


def _nameable(sets: PictureSets) -> PictureSets:
    """Return the pictures; raises `InputError` unless files can be called after all of them."""
    for sample in sets.samples:
        if any(Path(name).name != name or "\0" in name for name in (sample.identity, sample.key)):
            raise InputError(f"{sample.path}: files are called after identity and key, so both must be plain names")
    return sets

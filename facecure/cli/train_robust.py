"""`facecure train-robust`."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from facecure.cli.console import (
    CloakedOption,
    DetectorOption,
    DeviceOption,
    Terminal,
    ThreadsOption,
    UnprotectedOption,
    app,
    make_folder,
    named_folders,
)
from facecure.cli.console import progress as progress_bars
from facecure.commands.train_robust import train_robust as train_on_cloaks
from facecure.countermeasures.plan import RECIPES, TrainingPlan
from facecure.execution import Execution


@app.command(
    name="train-robust",
    epilog="**Example**\n\n`facecure train-robust mobilefacenet-foamliu --clean public/ --cloaked "
    "lowkey=public-lowkey/manifest.csv --evaluated photos/ --detector yunet --out robust/` writes a spec, which "
    "`facecure evaluate --scenario adaptive -e robust/NAME.toml …` takes.",
)
def train_robust(
    extractor: Annotated[str, typer.Argument(metavar="NAME", help="A spec with torch weights, or a zoo name.")],
    *,
    clean: Annotated[
        Path, typer.Option(metavar="DIR", help="Clean pictures of public people: `<identity>/<picture>`.")
    ],
    cloaked: CloakedOption,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where spec, weights, checkpoint and training.json go.")],
    unprotected: UnprotectedOption = None,
    evaluated: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The people who will be evaluated; anybody in both is an error."),
    ] = None,
    recipe: Annotated[
        str,
        typer.Option(
            metavar="|".join(RECIPES),
            help="matching: towards the original's embeddings of clean pictures; classification: as released.",
        ),
    ] = "matching",
    epochs: Annotated[int, typer.Option(min=1, help="A checkpoint after each.")] = 10,
    steps: Annotated[int, typer.Option(min=1, help="Of an epoch.")] = 500,
    batch: Annotated[int, typer.Option(min=1, help="Pictures of a step.")] = 32,
    detector: DetectorOption = None,
    seed: Annotated[int, typer.Option(help="Seed of the batches.")] = 0,
    threads: ThreadsOption = 0,
    device: DeviceOption = "cpu",
    bf16: Annotated[bool, typer.Option("--bf16", help="Passes in bfloat16: faster, other weights.")] = False,
) -> None:
    """Train an extractor on cloaks of public people, so that others' cloaks no longer hide them (adaptive).

    Run again after an interruption: training goes on from the last epoch's checkpoint.
    """
    make_folder(out)
    with progress_bars() as progress:
        file = train_on_cloaks(
            extractor,
            clean,
            named_folders(cloaked, "--cloaked"),
            out=out,
            unprotected=named_folders(unprotected, "--unprotected"),
            evaluated=evaluated,
            plan=TrainingPlan(recipe, epochs, steps, batch, seed),
            detector=detector,
            execution=Execution(
                precision="bf16" if bf16 else "fp32", device=device, threads=threads, progress=progress
            ),
        )
    Terminal().print(f"trained: facecure evaluate --scenario adaptive -e {quote(str(file))} …", soft_wrap=True)

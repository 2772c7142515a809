"""`facecure train-robust`."""

from __future__ import annotations

from enum import StrEnum
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


class RecipeOption(StrEnum):
    """How a robust extractor is trained."""

    matching = "matching"
    classification = "classification"


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
        RecipeOption,
        typer.Option(
            help="matching: towards the original's embeddings of clean pictures; classification: as released."
        ),
    ] = RecipeOption.matching,
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
            recipe=recipe.value,
            epochs=epochs,
            steps=steps,
            batch=batch,
            detector=detector,
            seed=seed,
            threads=threads,
            device=device,
            precision="bf16" if bf16 else "fp32",
            progress=progress,
        )
    Terminal().print(f"trained: facecure evaluate --scenario adaptive -e {quote(str(file))} …", soft_wrap=True)

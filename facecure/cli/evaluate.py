"""`facecure evaluate`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from facecure.cli.console import (
    CloakedOption,
    DetectorOption,
    DeviceOption,
    ExtractorOption,
    PrecisionOption,
    RuntimeOption,
    ThreadsOption,
    UnprotectedOption,
    app,
    bold,
    make_folder,
    named_folders,
    wide_console,
)
from facecure.cli.console import progress as progress_bars
from facecure.commands.study import run_study
from facecure.errors import InputError
from facecure.execution import Execution
from facecure.protocols.scenario import Scenario
from facecure.recognisers.recogniser import Training
from facecure.recognisers.registry import RECOGNISERS
from facecure.report.markdown import markdown
from facecure.report.records import to_csv
from facecure.report.schema import write_report
from facecure.report.terminal import terminal
from facecure.report.timeline import timeline_svg
from facecure.runs.atomic import write_whole
from facecure.study import PictureSources, Study
from facecure.types import ProtocolName

# names of a registry, not of a type: whoever adds a line there finds it here
RecogniserName = StrEnum("RecogniserName", [(name, name) for name in RECOGNISERS])  # type: ignore[misc]


@app.command(
    epilog="**Examples**\n\n"
    "`facecure evaluate --clean photos/ --cloaked fawkes-v1.0=cloaked/ -e sface-opencv --detector yunet "
    "--out run/`\n\n"
    "`facecure evaluate --clean faces/ --cloaked lowkey=attacked/ --unprotected lowkey=small/ --distractors lfw/ "
    "-e facenet-vggface2 -e my.toml --protocol facecure-2021 --out run/`\n\n"
    "`facecure evaluate --clean faces/ --cloaked fawkes=cloaks/manifest.csv --scenario adaptive --recogniser linear "
    "-e robust/facenet-vggface2-robust-fawkes.toml --out run/`"
)
def evaluate(
    *,
    clean: Annotated[
        Path, typer.Option(metavar="DIR", help="Clean pictures: `<identity>/<picture>`, or a CSV / Parquet manifest.")
    ],
    cloaked: CloakedOption,
    extractor: ExtractorOption,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where report.json, .md, .csv and embeddings/ go.")],
    distractors: Annotated[
        list[Path] | None,
        typer.Option(metavar="DIR", help="Other people, enrolled and never searched; may be repeated."),
    ] = None,
    unprotected: UnprotectedOption = None,
    detector: DetectorOption = None,
    protocol: Annotated[ProtocolName, typer.Option(help="Rules for split, row order and ties.")] = "corrected",
    recogniser: Annotated[
        RecogniserName,
        typer.Option(help="1-NN on embeddings, a linear classifier on them, or training the extractor end to end."),
    ] = RecogniserName("nn"),  # noqa: B008
    scenario: Annotated[
        Scenario,
        typer.Option(
            help="baseline; oblivious: extractors in order of their years, with a timeline; adaptive: extractors of "
            "`facecure train-robust`, on people whom they have not seen."
        ),
    ] = "baseline",
    epochs: Annotated[int, typer.Option(min=1, help="Of each end-to-end training.")] = 10,
    steps: Annotated[int, typer.Option(min=1, help="Of an epoch.")] = 500,
    batch: Annotated[int, typer.Option(min=1, help="Pictures of a step.")] = 32,
    repeats: Annotated[
        int | None, typer.Option(min=1, help="Random splits; default 10, or the one of facecure-2021.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the splits and the bootstrap.")] = 0,
    runtime: RuntimeOption = None,
    precision: PrecisionOption = "fp32",
    threads: ThreadsOption = 0,
    device: DeviceOption = "cpu",
) -> None:
    """Protection rates of cloaked pictures, for every cloak and extractor.

    Run again after an interruption: pictures already embedded under --out are not embedded twice.
    """
    sources = PictureSources.of(
        clean, named_folders(cloaked, "--cloaked"), named_folders(unprotected, "--unprotected"), distractors or []
    )
    study = Study(
        pictures=sources,
        extractors=extractor,
        recogniser=recogniser.value,
        scenario=scenario,
        protocol=protocol,
        repeats=repeats,
        seed=seed,
        training=Training(epochs, steps, batch, seed),
        detector=detector,
    )
    make_folder(out)
    with progress_bars() as progress:
        execution = Execution(None if runtime is None else runtime.value, precision, device, threads, progress=progress)
        report = run_study(study, store=out / "embeddings", execution=execution)
    write_report(report, out / "report.json")
    write_whole(out / "report.md", markdown(report))
    write_whole(out / "report.csv", to_csv(report))
    console = wide_console()
    console.print(terminal(report))
    if scenario == "oblivious" and (figure := timeline_svg(report)) is not None:
        write_whole(out / "timeline.svg", figure)
        console.print("Rates by the extractors' years in", bold(out / "timeline.svg"), soft_wrap=True)
    console.print(
        "Everything in",
        bold(out / "report.md"),
        f"and, for programs, {out / 'report.json'} and report.csv",
        soft_wrap=True,
    )
    if not any(cell.probes for cell in report.cells):
        raise InputError(
            "nothing was measured: nobody has both a usable clean picture to search with and a usable cloaked one to "
            f"find; {len(report.excluded)} pictures are excluded, {out / 'report.md'} says why"
        )

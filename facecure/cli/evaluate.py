"""`facecure evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facecure.cli.console import (
    CloakedOption,
    DetectorOption,
    DeviceOption,
    ExtractorOption,
    PrecisionName,
    PrecisionOption,
    ProtocolName,
    RuntimeOption,
    ThreadsOption,
    UnprotectedOption,
    app,
    make_folder,
    named_folders,
    wide_console,
)
from facecure.cli.console import progress as progress_bars
from facecure.evaluate import evaluate as evaluate_pictures
from facecure.report.markdown import markdown
from facecure.report.schema import write_report
from facecure.report.terminal import terminal


@app.command(
    epilog="**Examples**\n\n"
    "`facecure evaluate --clean photos/ --cloaked fawkes-v1.0=cloaked/ -e sface-opencv --detector yunet "
    "--out run/`\n\n"
    "`facecure evaluate --clean faces/ --cloaked lowkey=attacked/ --unprotected lowkey=small/ --distractors lfw/ "
    "-e facenet-vggface2 -e my.toml --protocol facecure-2021 --out run/`"
)
def evaluate(
    *,
    clean: Annotated[
        Path, typer.Option(metavar="DIR", help="Clean pictures: `<identity>/<picture>`, or a CSV / Parquet manifest.")
    ],
    cloaked: CloakedOption,
    extractor: ExtractorOption,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where report.json, report.md and embeddings/ go.")],
    distractors: Annotated[
        list[Path] | None,
        typer.Option(metavar="DIR", help="Other people, enrolled and never searched; may be repeated."),
    ] = None,
    unprotected: UnprotectedOption = None,
    detector: DetectorOption = None,
    protocol: Annotated[
        ProtocolName, typer.Option(help="Rules for split, row order and ties.")
    ] = ProtocolName.corrected,
    repeats: Annotated[
        int | None, typer.Option(min=1, help="Random splits; default 10, or the one of facecure-2021.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the splits and the bootstrap.")] = 0,
    runtime: RuntimeOption = None,
    precision: PrecisionOption = PrecisionName.fp32,
    threads: ThreadsOption = 0,
    device: DeviceOption = "cpu",
) -> None:
    """Protection rates of cloaked pictures, for every cloak and extractor.

    Run again after an interruption: pictures already embedded under --out are not embedded twice.
    """
    make_folder(out)
    with progress_bars() as progress:
        report = evaluate_pictures(
            clean,
            named_folders(cloaked, "--cloaked"),
            extractors=extractor,
            distractors=distractors or [],
            unprotected=named_folders(unprotected, "--unprotected"),
            detector=detector,
            protocol=protocol.value,
            repeats=repeats,
            seed=seed,
            keep=out / "embeddings",
            runtime=None if runtime is None else runtime.value,
            precision=precision.value,
            threads=threads,
            device=device,
            progress=progress,
        )
    write_report(report, out / "report.json")
    (out / "report.md").write_text(markdown(report), encoding="utf-8")
    console = wide_console()
    console.print(terminal(report))
    console.print(f"Everything in [bold]{out / 'report.md'}[/], for programs in {out / 'report.json'}", soft_wrap=True)

"""`facecure evaluate`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from facecure.cli.console import (
    DetectorOption,
    ExtractorOption,
    PrecisionName,
    PrecisionOption,
    ProtocolName,
    RuntimeOption,
    ThreadsOption,
    app,
    make_folder,
    wide_console,
)
from facecure.cli.console import progress as progress_bars
from facecure.errors import InputError
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
        Path, typer.Option(metavar="DIR", help="Clean pictures: <identity>/<picture>, or a CSV / Parquet manifest.")
    ],
    cloaked: Annotated[
        list[str], typer.Option(metavar="NAME=DIR", help="A cloak and the folder with its pictures; may be repeated.")
    ],
    extractor: ExtractorOption,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where report.json, report.md and embeddings/ go.")],
    distractors: Annotated[
        list[Path] | None,
        typer.Option(metavar="DIR", help="Other people, enrolled and never searched; may be repeated."),
    ] = None,
    unprotected: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=DIR", help="Clean counterparts of a cloak where they differ from --clean."),
    ] = None,
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
    device: Annotated[
        str, typer.Option(metavar="NAME", help="Where identification runs: cpu, or torch's name, such as cuda:0.")
    ] = "cpu",
) -> None:
    """Protection rates of cloaked pictures, for every cloak and extractor.

    Run again after an interruption: pictures already embedded under --out are not embedded twice.
    """
    make_folder(out)
    with progress_bars() as progress:
        report = evaluate_pictures(
            clean,
            _named(cloaked, "--cloaked"),
            extractors=extractor,
            distractors=distractors or [],
            unprotected=_named(unprotected or [], "--unprotected"),
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


def _named(entries: Sequence[str], option: str) -> dict[str, str]:
    """Return name → folder of NAME=DIR entries."""
    found: dict[str, str] = {}
    for entry in entries:
        name, equals, folder = entry.partition("=")
        if not (name and equals and folder):
            raise InputError(f"{option} takes NAME=DIR, such as lowkey=pictures/attacked, not {entry!r}")
        if name in found:
            raise InputError(f"{option} {name}=… is given twice; give each cloak a name of its own")
        found[name] = folder
    return found

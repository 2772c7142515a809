"""`facecure demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from facecure.cli.console import app, bold, make_folder, wide_console
from facecure.cli.console import progress as progress_bars
from facecure.commands.demo import run_demo
from facecure.report.tables import interval, percent
from facecure.report.terminal import terminal


@app.command(epilog="**Example**\n\n`facecure demo --out demo/`")
def demo(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where pictures and contact sheet go.")] = Path("demo"),
    seed: Annotated[int, typer.Option(help="Another seed, other people.")] = 0,
) -> None:
    """Synthetic people through the whole way, offline: who is found, how often, and what cloaks change about it."""
    make_folder(out)
    with progress_bars() as progress:
        done = run_demo(out, seed=seed, progress=progress)
    table = Table(title="Identified by clean pictures (1-NN, 10 splits)", title_justify="left")
    for heading in ("extractor", "identified", "clean error", "95 % interval"):
        table.add_column(heading, justify="left" if heading == "extractor" else "right", no_wrap=True)
    for result in done.results:
        error = result.error
        identified = f"{error.n - error.hits} of {error.n}"
        table.add_row(result.extractor, identified, percent(error.value), interval(error.wilson))
    console = wide_console()
    console.print(table)
    console.print(
        f"{done.disputed} probes were identified by some extractors but not by all, {done.missed_by_all} by none.\n"
    )
    console.print(terminal(done.report))
    console.print(
        f"The cloaks were made against {done.surrogate}: its rows show what their authors measured, the others what a "
        "searcher with another extractor sees. LowKey ran without its LPIPS term, whose networks are not shipped."
    )
    console.print("These people are drawn, so the rates say nothing about real faces.")
    console.print("Look at", bold(done.sheet), "and", bold(done.cloaks), soft_wrap=True)
    console.print(
        "\nNext, your own photos, a folder per person (facecure models lists what there is to fetch; see README):"
    )
    for line in (
        "facecure models fetch fawkes-extractor-2 sface-opencv yunet",
        "facecure cloak photos/ --cloak fawkes-v1.0:high -s fawkes-extractor-2 --out cloaks/",
        "facecure evaluate --clean photos/ --cloaked fawkes=cloaks/manifest.csv --unprotected fawkes=cloaks/clean "
        "-e sface-opencv --detector yunet --out run/",
    ):
        console.print(f"  {line}", soft_wrap=True)

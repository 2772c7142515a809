"""`facecure embed`."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from facecure.cli.console import (
    DetectorOption,
    DeviceOption,
    ExtractorOption,
    PrecisionOption,
    RuntimeOption,
    Terminal,
    ThreadsOption,
    app,
    make_folder,
)
from facecure.cli.console import progress as progress_bars
from facecure.embeddings.pipeline import embed as embed_pictures
from facecure.execution import Execution
from facecure.names import shown
from facecure.pictures.manifest import read_samples
from facecure.runs.atomic import write_whole
from facecure.runs.environment import environment
from facecure.zoo.find import find_detector, find_extractor


@app.command(
    epilog="**Example**\n\n"
    "`facecure embed photos/ -e sface-opencv --detector yunet --out embeddings/` writes `embeddings/sface-opencv.npz` "
    "with `vectors`, `identities`, `paths`, `sha256` and `extractor` (the digest)."
)
def embed(
    pictures: Annotated[
        Path, typer.Argument(metavar="DIR", help="`<identity>/<picture>`, or a CSV / Parquet manifest.")
    ],
    *,
    extractor: ExtractorOption,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where NAME.npz per extractor and embed.json go.")],
    detector: DetectorOption = None,
    runtime: RuntimeOption = None,
    precision: PrecisionOption = "fp32",
    threads: ThreadsOption = 0,
    device: DeviceOption = "cpu",
) -> None:
    """Embeddings of all pictures in a folder, one NPZ file per extractor."""
    how = Execution(None if runtime is None else runtime.value, precision, device, threads)
    ready = [find_extractor(name, how) for name in extractor]
    finder = find_detector(detector)
    samples, excluded, warnings = read_samples(pictures)
    make_folder(out)
    with progress_bars() as progress:
        table = embed_pictures(samples, ready, finder, replace(how, progress=progress), store=out / "embeddings")
    for one, embeddings in zip(ready, table.embeddings, strict=True):
        np.savez(
            out / f"{one.spec.name}.npz",
            vectors=embeddings.vectors,
            identities=np.array([s.identity for s in table.samples]),
            paths=np.array([shown(s.path) for s in table.samples]),
            sha256=np.array(table.sha256),
            extractor=np.array(embeddings.extractor),
        )
    left_out = [exclusion.stated for exclusion in [*excluded, *table.excluded]]
    what = {
        "extractors": [one.what_ran for one in ready],
        "excluded": left_out,
        "warnings": warnings,
        "environment": environment(),
    }
    write_whole(out / "embed.json", json.dumps(what, indent=1, ensure_ascii=False))
    console = Terminal()
    for one in ready:
        console.print(f"{one.spec.name}: {one.what_ran['runtime']}, {one.precision}")
        for remark in one.passed_over:
            console.print(f"{one.spec.name}: {remark}", style="yellow", soft_wrap=True)
    console.print(f"{len(table.samples)} pictures embedded, {len(left_out)} excluded (reasons in {out / 'embed.json'})")
    for warning in warnings:
        console.print(f"Warning: {warning}", style="yellow")

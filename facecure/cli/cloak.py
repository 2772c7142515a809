"""`facecure cloak`: options to the dataclasses of `facecure.cloak`, and its table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from shlex import join
from typing import Annotated

import numpy as np
import typer
from rich.table import Table

from facecure.cli.console import DetectorOption, ThreadsOption, app, bold, make_folder, wide_console
from facecure.cli.console import progress as progress_bars
from facecure.cloaks.apply.measure import MEASURES
from facecure.cloaks.apply.output import CloakOutput, Format
from facecure.cloaks.apply.run import BATCH
from facecure.cloaks.options import CloakOptions
from facecure.cloaks.registry import CLOAKS
from facecure.commands.cloak import cloak as cloak_pictures
from facecure.execution import Execution
from facecure.types import ProtocolName


@app.command(
    epilog="**Examples**\n\n"
    "`facecure cloak photos/ --cloak fawkes-v1.0:high -s fawkes-extractor-0 -s fawkes-extractor-2 --out run/`\n\n"
    "`facecure cloak photos/ --cloak fawkes-v0.3:high --surrogate fawkes-high --targets lfw/ --protocol "
    "facecure-2021 --out run/`\n\n"
    "`facecure cloak photos/ --cloak lowkey -s lowkey-ir152-cosface -s lowkey-resnet152-cosface --lpips lpips-alex "
    "--detector yunet --out run/`\n\n"
    "`facecure cloak photos/ --cloak mix:fawkes-v1.0:high=0.5,fawkes-v0.3:high=0.5 …`"
)
def cloak(
    pictures: Annotated[Path, typer.Argument(metavar="PHOTOS", help="`<identity>/<picture>`, or a manifest.")],
    *,
    name: Annotated[
        str,
        typer.Option(
            "--cloak",
            metavar="NAME",
            help=f"{', '.join(CLOAKS)}, where it has modes followed by one, such as fawkes-v1.0:high; or "
            "mix:NAME=SHARE,NAME=SHARE. Fawkes' modes: min, low, mid, high, ultra (v0.3); low, mid, high (v1.0).",
        ),
    ],
    surrogate: Annotated[
        list[str],
        typer.Option(
            "--surrogate",
            "-s",
            metavar="NAME",
            help="A spec with torch weights, or a name from `facecure models`; may be repeated.",
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where cloaked/, clean/ and manifest.csv go.")],
    targets: Annotated[Path | None, typer.Option(metavar="DIR", help="Other people, whom fawkes-v0.3 aims at.")] = None,
    detector: DetectorOption = None,
    lpips: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="LowKey's perceptual distance: lpips-alex from `facecure models`, "
            "alex=BACKBONE,HEADS (or squeeze, vgg), or none.",
        ),
    ] = None,
    protocol: Annotated[
        ProtocolName, typer.Option(help="facecure-2021 keeps the tools' quirks, and shows surrogates the whole face.")
    ] = "corrected",
    penalty: Annotated[
        float | None, typer.Option(help="Fawkes' weight of visible change; default 1e6 (v1.0), 1e9 (v0.3).")
    ] = None,
    reference_batch: Annotated[
        int | None, typer.Option(min=1, help="Couple the pictures of batches of this size as the tools do.")
    ] = None,
    whole: Annotated[
        bool, typer.Option("--whole", help="Photos in, photos out: every face found is cloaked and put back.")
    ] = False,
    image_format: Annotated[
        Format, typer.Option("--format", help="Of the cloaked pictures; jpeg and webp at quality 95.")
    ] = "png",
    keep_exif: Annotated[
        bool,
        typer.Option("--keep-exif", help="Keep what the camera wrote, the place too; never its thumbnail."),
    ] = False,
    seed: Annotated[int, typer.Option(help="Seed of starts, targets and mixes.")] = 0,
    batch: Annotated[int, typer.Option(min=1, help="Pictures at a time; changes speed only.")] = BATCH,
    device: Annotated[str, typer.Option(metavar="NAME", help="cpu, or torch's name, such as cuda:0.")] = "cpu",
    bf16: Annotated[bool, typer.Option("--bf16", help="Surrogates in bfloat16: faster, other cloaks.")] = False,
    threads: ThreadsOption = 0,
    trace: Annotated[Path | None, typer.Option(metavar="FILE", help="One JSON line per picture and iteration.")] = None,
) -> None:
    """Cloak pictures by Fawkes v0.3, Fawkes v1.0 or LowKey, and measure what was written.

    Run again after an interruption: finished pictures are not cloaked twice.
    """
    make_folder(out)
    options = CloakOptions(protocol, penalty, reference_batch, lpips, seed)
    output = CloakOutput(whole, image_format, keep_exif, trace)
    with progress_bars() as progress:
        execution = Execution(
            precision="bf16" if bf16 else "fp32", device=device, threads=threads, batch=batch, progress=progress
        )
        done = cloak_pictures(
            pictures, name, surrogates=surrogate, out=out, targets=targets, detector=detector, options=options,
            output=output, execution=execution,
        )  # fmt: skip
    console = wide_console()
    console.print(f"{done.written} pictures cloaked, {done.before} were before, {len(done.excluded)} excluded.")
    for exclusion in done.excluded[:5]:
        console.print(f"  {exclusion.path}: {exclusion.reason}", soft_wrap=True)
    for warning in done.warnings:
        console.print(f"Warning: {warning}", style="yellow", soft_wrap=True)
    if done.rows:
        console.print(_cloak_table(done.rows))
    console.print("Every picture's numbers are in", bold(out / "manifest.csv"), soft_wrap=True)
    unprotected = [] if whole else ["--unprotected", f"cloak={out / 'clean'}"]
    following = ["--clean", str(pictures), "--cloaked", f"cloak={out / 'manifest.csv'}", *unprotected]
    console.print(
        f"Next:\n  facecure evaluate {join(following)} -e sface-opencv --detector yunet --out evaluation/",
        soft_wrap=True,
    )


def _cloak_table(rows: Sequence[dict[str, str]]) -> Table:
    """Return medians and extremes of what was measured on the cloaked pictures."""
    table = Table(title="Measured on the pictures as written", title_justify="left")
    for heading in ("", "lowest", "median", "highest"):
        table.add_column(heading, justify="right" if heading else "left", no_wrap=True)
    for key in [key for key in rows[0] if key in MEASURES or key.startswith("shift_")]:
        low, middle, high = np.quantile([float(row[key]) for row in rows], [0, 0.5, 1])
        table.add_row(MEASURES.get(key, key.replace("shift_", "shift, ")), f"{low:.4g}", f"{middle:.4g}", f"{high:.4g}")
    return table

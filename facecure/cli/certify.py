"""`facecure certify`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from facecure.certify import certify as certify_runtimes
from facecure.cli.console import DetectorOption, ThreadsOption, app, plain, wide_console
from facecure.cli.console import progress as progress_bars
from facecure.errors import InputError
from facecure.extractors.runtimes import RUNTIMES

_HEADINGS = ("runtime", "precision", "changed decisions", "largest 1 − cos", "identified", "faces/s", "certified")


@app.command(
    epilog="**Example**\n\n`facecure certify mobilefacenet-foamliu --faces lfw/ --detector yunet --runtimes "
    "onnx,openvino,openvino:bf16` writes a certificate beside the export of each; from then on `--runtime auto` takes "
    "the fastest certified one."
)
def certify(
    extractor: Annotated[str, typer.Argument(metavar="NAME", help="A spec file, or a name from `facecure models`.")],
    *,
    faces: Annotated[Path, typer.Option(metavar="DIR", help="People of several pictures: <identity>/<picture>.")],
    runtimes: Annotated[
        str, typer.Option(metavar="RUNTIME[:PRECISION],…", help="torch, onnx, openvino, tensorrt; fp32, bf16.")
    ] = "onnx,openvino,openvino:bf16",
    detector: DetectorOption = None,
    most_changed: Annotated[int, typer.Option(min=0, help="1-NN decisions that may change.")] = 0,
    most_error: Annotated[float, typer.Option(min=0, help="1 − cosine that an embedding may move.")] = 1e-4,
    seed: Annotated[int, typer.Option(help="Seed of the splits.")] = 0,
    threads: ThreadsOption = 0,
) -> None:
    """Does another runtime or precision decide as the reference does? Counts changed verdicts on real faces.

    Ends with status 1 where one of them is worse than the bounds.
    """
    with progress_bars() as progress:
        found = certify_runtimes(
            extractor,
            faces,
            [_pair(text) for text in runtimes.split(",")],
            detector=detector,
            most_changed=most_changed,
            most_error=most_error,
            seed=seed,
            threads=threads,
            progress=progress,
        )
    table = Table(title=f"{plain(extractor)} against its reference", title_justify="left")
    for heading in _HEADINGS:
        table.add_column(heading, justify="left" if heading in ("runtime", "certified") else "right")
    for one in found:
        facts = one.facts
        table.add_row(
            one.runtime,
            one.precision,
            f"{facts['changed_decisions']} of {facts['decisions']}",
            f"{facts['error']['1.0']:.1e}",
            f"{facts['identified']['here']:.4f} ({facts['identified']['shift']:+.4f})",
            f"{facts['faces_per_second']:.0f} (reference {facts['reference_faces_per_second']:.0f})",
            "yes" if one.certified else "refused",
        )
    console = wide_console()
    console.print(table)
    if left_out := len(found[0].facts["faces"]["excluded"]):
        console.print(f"{left_out} pictures were excluded; the certificates say why")
    console.print(f"Certificates lie in {found[0].file.parent}", soft_wrap=True, highlight=False)
    if not all(one.certified for one in found):
        raise typer.Exit(1)


def _pair(text: str) -> Any:
    """Return runtime and precision of RUNTIME or RUNTIME:PRECISION."""
    runtime, _, precision = text.strip().partition(":")
    if runtime not in RUNTIMES:
        raise InputError(f"--runtimes takes {', '.join(RUNTIMES)}, each with :PRECISION if not fp32, not {text!r}")
    return runtime, precision or "fp32"

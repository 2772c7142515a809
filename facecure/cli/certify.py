"""`facecure certify`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from facecure.cli.console import (
    CloakedOption,
    DetectorOption,
    DeviceOption,
    ThreadsOption,
    UnprotectedOption,
    app,
    named_folders,
    wide_console,
)
from facecure.cli.console import progress as progress_bars
from facecure.commands.certify import Certificate
from facecure.commands.certify import certify as certify_runtimes
from facecure.errors import InputError
from facecure.extractors.runtimes import RUNTIMES
from facecure.kernels.bf16 import has_bf16

_HEADINGS = ("runtime", "changed decisions", "largest 1 − cos", "faces/s", "reference", "batch", "certified")


@app.command(
    epilog="**Example**\n\n`facecure certify mobilefacenet-foamliu --faces lfw/ --detector yunet --runtimes "
    "onnx,openvino,openvino:int8` writes a certificate beside the export of each; from then on `--runtime auto` takes "
    "the fastest certified one."
)
def certify(
    extractor: Annotated[str, typer.Argument(metavar="NAME", help="A spec file, or a name from `facecure models`.")],
    *,
    faces: Annotated[Path, typer.Option(metavar="DIR", help="People of several pictures: `<identity>/<picture>`.")],
    runtimes: Annotated[
        str | None,
        typer.Option(
            metavar="RUNTIME[:PRECISION],…",
            help="torch, onnx, openvino, tensorrt; fp32, int8, bf16, fp16. Default: onnx, openvino, openvino:int8 and, "
            "where the processor has it, openvino:bf16.",
        ),
    ] = None,
    cloaked: CloakedOption = None,
    unprotected: UnprotectedOption = None,
    detector: DetectorOption = None,
    most_changed: Annotated[int, typer.Option(min=0, help="1-NN decisions that may change.")] = 0,
    most_error: Annotated[
        float | None,
        typer.Option(min=0, help="1 − cosine that an embedding may move. Default: 1e-4, in int8 1e-2."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the splits.")] = 0,
    threads: ThreadsOption = 0,
    device: DeviceOption = "cpu",
) -> None:
    """Does another runtime or precision decide as the reference does? Counts changed verdicts on real faces.

    With `--cloaked` the cloaked pictures are decided on too, and the shift of each protection rate is shown. Ends with
    status 1 where a runtime is worse than the bounds.
    """
    with progress_bars() as progress:
        found = certify_runtimes(
            extractor,
            faces,
            [_pair(text) for text in (_default() if runtimes is None else runtimes).split(",")],
            cloaked=named_folders(cloaked, "--cloaked"),
            unprotected=named_folders(unprotected, "--unprotected"),
            detector=detector,
            most_changed=most_changed,
            most_error=most_error,
            seed=seed,
            threads=threads,
            device=device,
            progress=progress,
        )
    console = wide_console()
    console.print(_differences(extractor, found))
    console.print(_rates(found))
    for one in found:
        settled = one.facts["settled"]
        if one.facts["changed_decisions"] and not settled["changed_decisions"]:
            console.print(
                f"{one.runtime} {one.precision}: with {settled['embedded_again']} of {settled['faces']} faces embedded "
                "again by the reference, no decision on clean pictures changes",
                soft_wrap=True,
            )
    if left_out := len(found[0].facts["faces"]["excluded"]):
        console.print(f"{left_out} pictures were excluded; the certificates say why")
    console.print(f"Certificates lie in {found[0].file.parent}", soft_wrap=True)
    if not all(one.certified for one in found):
        raise typer.Exit(1)


def _differences(extractor: str, found: list[Certificate]) -> Table:
    table = Table(title=f"{extractor} against its reference", title_justify="left")
    for heading in _HEADINGS:
        table.add_column(heading, justify="left" if heading in ("runtime", "certified") else "right")
    for one in found:
        facts = one.facts
        table.add_row(
            f"{one.runtime} {one.precision}",
            f"{facts['changed_decisions']} of {facts['decisions']}",
            f"{facts['error']['1.0']:.1e}",
            f"{facts['faces_per_second']:.0f}",
            f"{facts['reference_faces_per_second']:.0f}",
            str(facts["batch"]),
            "yes" if one.certified else "refused",
        )
    return table


def _rates(found: list[Certificate]) -> Table:
    """Return what is identified and protected by the reference, and the shift of each runtime."""
    table = Table("rate", title_justify="left")
    for heading in ("probes", "reference", *(f"{one.runtime} {one.precision}" for one in found)):
        table.add_column(heading, justify="right")
    for name in ("", *found[0].facts["protection"]):
        rates = [one.facts["protection"][name] if name else one.facts["identified"] for one in found]
        if rates[0]["probes"]:
            shifts = (f"{rate['shift']:+.4f}" for rate in rates)
            kind = f"protection rate, {name}" if name else "identified, uncloaked"
            table.add_row(kind, str(rates[0]["probes"]), f"{rates[0]['reference']:.4f}", *shifts)
    return table


def _default() -> str:
    """Return what OpenVINO and ONNX Runtime have on this processor."""
    return "onnx,openvino,openvino:int8" + (",openvino:bf16" if has_bf16() else "")


def _pair(text: str) -> Any:
    """Return runtime and precision of RUNTIME or RUNTIME:PRECISION."""
    runtime, _, precision = text.strip().partition(":")
    if runtime not in RUNTIMES:
        raise InputError(f"--runtimes takes {', '.join(RUNTIMES)}, each with :PRECISION if not fp32, not {text!r}")
    return runtime, precision or "fp32"

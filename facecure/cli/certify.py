"""`facecure certify`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from facecure.certificates.certificate import Bounds, Certificate
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
from facecure.commands.certify import certify as certify_runtimes
from facecure.errors import InputError
from facecure.execution import Execution
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
        certificates = certify_runtimes(
            extractor,
            faces,
            [_pair(text) for text in (_default() if runtimes is None else runtimes).split(",")],
            cloaked=named_folders(cloaked, "--cloaked"),
            unprotected=named_folders(unprotected, "--unprotected"),
            detector=detector,
            bounds=Bounds(most_changed, most_error),
            seed=seed,
            execution=Execution(device=device, threads=threads, progress=progress),
        )
    console, listed = wide_console(), list(certificates.values())
    console.print(_differences(extractor, listed))
    console.print(_rates(listed))
    for certificate in listed:
        differences = certificate.differences
        if differences.changed and not differences.settled_changed:
            console.print(
                f"{certificate.runtime} {certificate.precision}: with {differences.embedded_again} of "
                f"{differences.faces} faces embedded again by the reference, no decision on clean pictures changes",
                soft_wrap=True,
            )
    if left_out := len(listed[0].faces.excluded):
        console.print(f"{left_out} pictures were excluded; the certificates say why")
    console.print(f"Certificates lie in {next(iter(certificates)).parent}", soft_wrap=True)
    if not all(certificate.certified for certificate in listed):
        raise typer.Exit(1)


def _differences(extractor: str, certificates: list[Certificate]) -> Table:
    table = Table(title=f"{extractor} against its reference", title_justify="left")
    for heading in _HEADINGS:
        table.add_column(heading, justify="left" if heading in ("runtime", "certified") else "right")
    for certificate in certificates:
        differences, speed = certificate.differences, certificate.speed
        table.add_row(
            f"{certificate.runtime} {certificate.precision}",
            f"{differences.changed} of {differences.decisions}",
            f"{differences.largest_error:.1e}",
            f"{speed.here:.0f}",
            f"{speed.reference:.0f}",
            str(speed.batch),
            "yes" if certificate.certified else "refused",
        )
    return table


def _rates(certificates: list[Certificate]) -> Table:
    """Return what is identified and protected by the reference, and the shift of each runtime."""
    table = Table("rate", title_justify="left")
    for heading in ("probes", "reference", *(f"{c.runtime} {c.precision}" for c in certificates)):
        table.add_column(heading, justify="right")
    differences = [certificate.differences for certificate in certificates]
    rows = {"identified, uncloaked": [each.identified for each in differences]}
    for name in differences[0].protected:
        rows[f"protection rate, {name}"] = [each.protected[name] for each in differences]
    for kind, shifts in rows.items():
        if shifts[0].probes:
            moved = (f"{shift.shift:+.4f}" for shift in shifts)
            table.add_row(kind, str(shifts[0].probes), f"{shifts[0].rate:.4f}", *moved)
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

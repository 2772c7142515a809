"""`facecure models`: the zoo and what of it is on this machine."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from facecure.cli.console import (
    DetectorOption,
    Terminal,
    app,
    bold,
    download_progress,
    wide_console,
)
from facecure.errors import InputError
from facecure.execution import Precision
from facecure.extractors.export import export_onnx
from facecure.extractors.runtimes import exported_for, graph_precision, runtime_class
from facecure.zoo.cache import VARIABLE, ModelCache
from facecure.zoo.catalogue import ZooEntry, zoo, zoo_entry
from facecure.zoo.exports import Exports, calibrating_faces
from facecure.zoo.find import find_detector, find_spec

models = typer.Typer(
    help="Official weights of extractors, detectors and perceptual distances: list, fetch, add.",
    rich_markup_mode="markdown",
    epilog="**Examples**\n\n`facecure models`\n\n`facecure models show magface-iresnet100`\n\n"
    "`facecure models fetch facenet-vggface2 yunet`\n\n"
    "`facecure models add ~/magface_epoch_00025.pth --as magface-iresnet100`\n\n"
    "`facecure models remove magface-iresnet100`",
)
app.add_typer(models, name="models", invoke_without_command=True)


ExportName = StrEnum("ExportName", [(name, name) for name in exported_for()])  # type: ignore[misc]  # of a registry
_HEADINGS = ("name", "here", "year", "size", "values", "terms of the weights", "trained on", "terms of the data")
_WIDE = 140  # columns, from which a table can be read
_OURS = "facecure itself is Apache-2.0; neither column's terms are facecure's, and both bind whoever uses the weights."


@models.callback()
def list_models(context: typer.Context) -> None:
    """Official weights of extractors, detectors and perceptual distances: list, fetch, add."""
    if context.invoked_subcommand is not None:
        return
    cache = ModelCache()
    console = wide_console()
    for kind in dict.fromkeys(entry.kind for entry in zoo().values()):
        rows = [_row(entry, cache) for entry in zoo().values() if entry.kind == kind]
        title = f"{kind[0].upper()}{kind[1:]}s"
        if console.width >= _WIDE:
            console.print(_table(title, rows))
            continue
        console.print(bold(title))
        for name, here, year, size, values, licence, training_set, data_terms in rows:
            console.print("  ", bold(f"{name:28}"), f" {here:5} {year} {size:>8} {values:>4}", sep="")
            terms = f"weights: {licence}; trained on: {training_set}; terms of the data: {data_terms}"
            console.print(Padding(Text(terms, "dim"), (0, 0, 0, 6)))
    console.print(
        f"here: yes, or what brings it: facecure models fetch NAME, facecure models add FILE --as NAME. {_OURS}\n"
        f"Weights lie in {cache.folder} (another folder: {VARIABLE}).",
        soft_wrap=True,
    )


def _row(entry: ZooEntry, cache: ModelCache) -> tuple[str, ...]:
    """Return an entry under `_HEADINGS`."""
    here = "yes" if cache.has(entry) else "fetch" if all(file.urls for file in entry.files) else "add"
    values = str(entry.embedding_size or "")
    return (
        entry.name, here, str(entry.year), _size(entry), values, entry.licence, entry.training_set, entry.data_terms
    )  # fmt: skip


def _table(title: str, rows: list[tuple[str, ...]]) -> Table:
    table = Table(title=title, title_justify="left")
    for heading in _HEADINGS:
        right = heading in ("year", "size", "values")
        table.add_column(heading, justify="right" if right else "left", no_wrap=right or heading == "name")
    for row in rows:
        table.add_row(*row)
    return table


@models.command(epilog="**Example**\n\n`facecure models show clip-vit-b32`")
def show(name: Annotated[str, typer.Argument(help="A name from `facecure models`.")]) -> None:
    """Everything known of one entry: terms, files, checksums, preprocessing, paper."""
    _show(zoo_entry(name), ModelCache())


@models.command(epilog="**Example**\n\n`facecure models fetch facenet-vggface2 yunet`")
def fetch(names: Annotated[list[str], typer.Argument(metavar="NAME…", help="Names from `facecure models`.")]) -> None:
    """Fetch official weights, verify them and keep them; what broke off is continued."""
    entries, cache = [zoo_entry(name) for name in names], ModelCache()
    console = Terminal(stderr=True)
    for entry in entries:
        console.print(bold(entry.name), f": {_terms(entry)}", sep="", soft_wrap=True)
        with download_progress() as progress:
            remarks = cache.fetch(entry, progress)
        _done(entry, cache, remarks)


@models.command(epilog="**Example**\n\n`facecure models add ~/magface_epoch_00025.pth --as magface-iresnet100`")
def add(
    files: Annotated[list[Path], typer.Argument(metavar="FILE…", help="Files that you have, or the archive of one.")],
    name: Annotated[str, typer.Option("--as", metavar="NAME", help="A name from `facecure models`.")],
    *,
    replace: Annotated[bool, typer.Option("--replace", help="In place of the file that came first.")] = False,
) -> None:
    """Take weights that are on this machine already into the cache, verified like fetched ones."""
    entry, cache = zoo_entry(name), ModelCache()
    _done(entry, cache, cache.add(entry, files, replace=replace))


@models.command(epilog="**Example**\n\n`facecure models remove clip-vit-b32-faces`")
def remove(names: Annotated[list[str], typer.Argument(metavar="NAME…", help="Names from `facecure models`.")]) -> None:
    """Delete weights, with their exports and certificates, and forget what they were."""
    entries, cache = [zoo_entry(name) for name in names], ModelCache()
    for entry in entries:
        removed = cache.remove(entry)
        what = "\n".join(f"  {path}" for path in removed) or "  nothing was there"
        Terminal().print(f"{entry.name} is removed:\n{what}", soft_wrap=True)


@models.command(
    epilog="**Examples**\n\n`facecure models export dlib-resnet`\n\n"
    "`facecure models export magface-iresnet100 --out magface.onnx --inside`\n\n"
    "`facecure models export dlib-resnet --precision int8 --faces lfw/ --detector yunet`"
)
def export(
    name: Annotated[str, typer.Argument(help="A name from `facecure models`, or a spec file.")],
    *,
    runtime: Annotated[ExportName, typer.Option(help="What will execute it; all take ONNX.")] = ExportName("onnx"),  # noqa: B008
    precision: Annotated[Precision, typer.Option(help="int8 needs --faces; others for tensorrt.")] = "fp32",
    faces: Annotated[Path | None, typer.Option(metavar="DIR", help="Faces that int8 is calibrated on.")] = None,
    detector: DetectorOption = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Elsewhere than in the cache.")] = None,
    inside: Annotated[bool, typer.Option("--inside", help="With --out: uint8 RGB in, preprocessing inside.")] = False,
) -> None:
    """Write an extractor as an ONNX file: any batch, batch norms folded, everything about it in its metadata."""
    spec = find_spec(name)
    target, kind = runtime.value, runtime_class(runtime.value)
    if precision not in kind.precisions:
        raise InputError(f"{target} computes in {' or '.join(kind.precisions)}, not {precision}")
    if inside and out is None:
        raise InputError("--inside is for files of your own: name one with --out")
    if (precision == "int8") != (faces is not None):
        raise InputError("--precision int8 and --faces go together: int8 is calibrated on faces, and nothing else is")
    some = None if faces is None else calibrating_faces(spec, faces, find_detector(detector, spec))
    if out is None:
        exports = Exports(spec)
        with exports.folder:
            file = exports.export(target, precision, some)
    else:
        export_onnx(spec, out, inside=inside, precision=graph_precision(target, precision), faces=some)
        file = out
    Terminal().print(f"{spec.name} is in {file}", soft_wrap=True)


def _done(entry: ZooEntry, cache: ModelCache, remarks: list[str]) -> None:
    console = Terminal()
    for remark in remarks:
        console.print(remark, style="yellow", soft_wrap=True)
    if missing := [file.name for file in entry.files if not cache.path(file).is_file()]:
        console.print(f"still missing: {', '.join(missing)}", style="yellow", soft_wrap=True)
        return
    option = {"extractor": "--extractor", "detector": "--detector", "perceptual distance": "--lpips"}[entry.kind]
    console.print(f"{entry.name} is ready: facecure … {option} {entry.name}", soft_wrap=True)


def _show(entry: ZooEntry, cache: ModelCache) -> None:
    lock = cache.lock()
    rows = [
        ("name", f"{entry.name} ({entry.kind}, {entry.year})"),
        ("note", entry.note),
        ("paper", entry.paper),
        ("terms of the weights", entry.licence),
        ("trained on", entry.training_set),
        ("terms of the data", entry.data_terms),
        ("network", entry.architecture or ("ONNX" if entry.kind == "extractor" else "")),
        *((key, _preprocessing(entry, key)) for key in ("input", "embedding", "face")),
    ]
    for file in entry.files:
        known = lock.get(file.name, {})
        rows += [
            ("file", f"{cache.path(file)}{'' if cache.path(file).is_file() else ' (not there)'}"),
            ("published SHA-256", file.sha256 or ""),
            ("published MD5", file.md5 or ""),
            ("SHA-256 reported by others", file.reported or ""),
            ("SHA-256 here", known.get("sha256", "")),
            ("came", f"{known['origin']}, {known['when']}" if known else ""),
            *(("published at", url) for url in file.urls),
            ("by hand at", file.page or ""),
        ]
    console = Terminal()
    for key, value in rows:
        if value:  # paths, addresses and checksums are for copying: in one piece, however long
            console.print(Text(f"{key:27}", "dim"), value, soft_wrap=True)


def _preprocessing(entry: ZooEntry, key: str) -> str:
    found = entry.preprocessing.get(key, {})
    return ", ".join(f"{name} {value}" for name, value in found.items())


def _terms(entry: ZooEntry) -> str:
    return f"weights: {entry.licence}; trained on {entry.training_set}: {entry.data_terms}"


def _size(entry: ZooEntry) -> str:
    return "" if entry.size is None else f"{entry.size / 1e6:.1f} MB"

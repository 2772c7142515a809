"""What all commands share: the application, common options, progress bars."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from signal import SIGINT
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.text import Text

from facecure.errors import InputError
from facecure.execution import Precision
from facecure.extractors.runtimes import RUNTIMES
from facecure.names import printable

app = typer.Typer(
    name="facecure",
    help="How often is a person still found by face recognition after cloaking their photos?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)


# names of a registry, not of a type: whoever adds a line there finds it here
RuntimeName = StrEnum("RuntimeName", [(name, name) for name in (*RUNTIMES, "auto")])  # type: ignore[misc]

ExtractorOption = Annotated[
    list[str],
    typer.Option(
        "--extractor", "-e", metavar="NAME", help="A spec file, or a name from `facecure models`; may be repeated."
    ),
]
DetectorOption = Annotated[
    str | None,
    typer.Option(
        envvar="FACECURE_DETECTOR",
        metavar="NAME",
        help="For extractors that align faces: yunet or mtcnn from `facecure models`, or a YuNet ONNX file.",
    ),
]
CloakedOption = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=DIR", help="A cloak and the folder with its pictures; may be repeated."),
]
UnprotectedOption = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=DIR", help="Clean counterparts of a cloak where they differ from the clean pictures."),
]
RuntimeOption = Annotated[
    RuntimeName | None,
    typer.Option(help="What executes extractors; auto is the fastest certified one. Default: what the weights need."),
]
PrecisionOption = Annotated[Precision, typer.Option(help="Of the runtime; other ones give other embeddings.")]
DeviceOption = Annotated[
    str, typer.Option(metavar="NAME", help="Where extractors and search run: cpu, cuda or, of several, cuda:1.")
]
ThreadsOption = Annotated[
    int, typer.Option(min=0, help="CPU threads, at most as many as CPUs; 0 = those that `facecure info` counts.")
]


def make_folder(out: Path) -> None:
    """Make the folder that --out names."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--out {out}: {error.strerror}; name a folder that can be written to") from error


def named_folders(entries: Sequence[str] | None, option: str) -> dict[str, str]:
    """Return name → folder of NAME=DIR entries."""
    found: dict[str, str] = {}
    for entry in entries or ():
        name, equals, folder = entry.partition("=")
        if not (name and equals and folder):
            raise InputError(f"{option} takes NAME=DIR, such as lowkey=pictures/attacked, not {entry!r}")
        if name in found:
            raise InputError(f"{option} {name}=… is given twice; give each cloak a name of its own")
        found[name] = folder
    return found


class Terminal(Console):
    """A console for text that is not ours: nothing in it is markup, and nothing in it moves the cursor or hides."""

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, markup=False, emoji=False, highlight=False)

    def render_str(self, text: str, **options: Any) -> Text:
        """Return the text as it is drawn."""
        return super().render_str(printable(text, keep="\n"), **options)


def wide_console() -> Terminal:
    """Return a console for results; a file or pipe has no edge to wrap at."""
    console = Terminal()
    if not console.is_terminal:
        console.width = max(console.width, 160)
    return console


def bold(text: object) -> Text:
    """Return text in bold."""
    return Text(printable(str(text)), "bold")


@contextmanager
def progress() -> Iterator[Callable[[str, int, int | None], None]]:
    """Yield a callback (stage, done, total) that draws one bar per stage on standard error."""
    with _bars(MofNCompleteColumn(), TimeRemainingColumn()) as update:
        yield update


@contextmanager
def download_progress() -> Iterator[Callable[[str, int, int | None], None]]:
    """Yield a callback (file, bytes, total) that draws one bar per file on standard error."""
    with _bars(DownloadColumn(), TransferSpeedColumn()) as update:
        yield update


@contextmanager
def _bars(*columns: ProgressColumn) -> Iterator[Callable[[str, int, int | None], None]]:
    """Yield a callback that moves the bar of a name; an interruption ends with status 128 and the signal's number."""
    label = TextColumn("{task.description}", markup=False)
    with Progress(label, BarColumn(), *columns, console=Terminal(stderr=True)) as bars:
        tasks: dict[str, TaskID] = {}

        def update(name: str, done: int, total: int | None) -> None:
            if name not in tasks:
                tasks[name] = bars.add_task(name, total=total)
            bars.update(tasks[name], completed=done, total=total)

        try:
            yield update
        except KeyboardInterrupt as interruption:
            Terminal(stderr=True).print("interrupted; the same command continues where this one stopped")
            raise typer.Exit(128 + getattr(interruption, "signal", SIGINT)) from None

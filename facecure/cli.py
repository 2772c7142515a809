"""The command line: a shell over the Python functions."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from facecure.cloak import cloak as cloak_pictures
from facecure.cloak_run import MEASURES
from facecure.demo import run_demo
from facecure.embed import embed as embed_pictures
from facecure.environment import EXTRAS, environment, version_of
from facecure.errors import FacecureError, InputError
from facecure.evaluate import evaluate as evaluate_pictures
from facecure.extractors.runtimes import open_extractor
from facecure.extractors.spec import read_spec
from facecure.pictures.detect import Detector
from facecure.pictures.manifest import read_samples
from facecure.report.markdown import interval, markdown, percent
from facecure.report.schema import write_report
from facecure.report.terminal import terminal

app = typer.Typer(
    name="facecure",
    help="How often is a person still found by face recognition after cloaking their photos?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)


class ProtocolName(StrEnum):
    """The protocols on offer, as the command line spells them."""

    corrected = "corrected"
    facecure_2021 = "facecure-2021"


ExtractorOption = Annotated[
    list[Path], typer.Option("--extractor", "-e", metavar="SPEC.toml", help="Extractor spec; may be repeated.")
]
DetectorOption = Annotated[
    Path | None,
    typer.Option(envvar="FACECURE_DETECTOR", metavar="FILE", help="YuNet ONNX file, for extractors that align faces."),
]
ThreadsOption = Annotated[int, typer.Option(min=0, help="CPU threads; 0 = all.")]


@app.command(
    epilog="**Examples**\n\n"
    "`facecure evaluate --clean photos/ --cloaked fawkes-v1.0=cloaked/ -e arcface.toml --detector yunet.onnx "
    "--out run/`\n\n"
    "`facecure evaluate --clean faces/ --cloaked lowkey=attacked/ --unprotected lowkey=small/ --distractors lfw/ "
    "-e a.toml -e b.toml --protocol facecure-2021 --out run/`"
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
    threads: ThreadsOption = 0,
    device: Annotated[
        str, typer.Option(metavar="NAME", help="Where identification runs: cpu, or torch's name, such as cuda:0.")
    ] = "cpu",
) -> None:
    """Protection rates of cloaked pictures, for every cloak and extractor.

    Run again after an interruption: pictures already embedded under --out are not embedded twice.
    """
    _make_folder(out)
    with _progress() as progress:
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
            threads=threads,
            device=device,
            progress=progress,
        )
    write_report(report, out / "report.json")
    (out / "report.md").write_text(markdown(report), encoding="utf-8")
    console = Console()
    if not console.is_terminal:
        console.width = max(console.width, 160)  # a file or pipe has no edge to wrap at
    console.print(terminal(report))
    console.print(f"Everything in [bold]{out / 'report.md'}[/], for programs in {out / 'report.json'}", soft_wrap=True)


@app.command(
    epilog="**Examples**\n\n"
    "`facecure cloak photos/ --cloak fawkes-v1.0:high --surrogate extractor.toml --detector yunet.onnx --out run/`\n\n"
    "`facecure cloak photos/ --cloak fawkes-v0.3:high --surrogate extractor.toml --targets lfw/ --protocol "
    "facecure-2021 --out run/`\n\n"
    "`facecure cloak photos/ --cloak lowkey --surrogate a.toml --surrogate b.toml --lpips alex=alexnet.pth,lin.pth "
    "--detector yunet.onnx --out run/`\n\n"
    "`facecure cloak photos/ --cloak mix:fawkes-v1.0:high=0.5,fawkes-v0.3:high=0.5 …`"
)
def cloak(
    pictures: Annotated[Path, typer.Argument(metavar="PHOTOS", help="<identity>/<picture>, or a manifest.")],
    *,
    name: Annotated[
        str,
        typer.Option(
            "--cloak",
            metavar="NAME",
            help="fawkes-v0.3:MODE, fawkes-v1.0:MODE, lowkey, lowkey-4, lowkey-warp, lowkey-4-warp or "
            "mix:NAME=SHARE,NAME=SHARE. Modes: min, low, mid, high, ultra (v0.3); low, mid, high (v1.0).",
        ),
    ],
    surrogate: Annotated[
        list[Path],
        typer.Option("--surrogate", "-s", metavar="SPEC.toml", help="Spec with torch weights; may be repeated."),
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where cloaked/, clean/ and manifest.csv go.")],
    targets: Annotated[Path | None, typer.Option(metavar="DIR", help="Other people, whom fawkes-v0.3 aims at.")] = None,
    detector: DetectorOption = None,
    lpips: Annotated[
        str | None,
        typer.Option(metavar="NET=BACKBONE,HEADS", help="LowKey's perceptual distance: alex, squeeze or vgg; or none."),
    ] = None,
    protocol: Annotated[
        ProtocolName, typer.Option(help="facecure-2021 keeps the tools' quirks, and shows surrogates the whole face.")
    ] = ProtocolName.corrected,
    penalty: Annotated[
        float | None, typer.Option(help="Fawkes' weight of visible change; default 1e6 (v1.0), 1e9 (v0.3).")
    ] = None,
    reference_batch: Annotated[
        int | None, typer.Option(min=1, help="Couple the pictures of batches of this size as the tools do.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of starts, targets and mixes.")] = 0,
    batch: Annotated[int, typer.Option(min=1, help="Pictures at a time; changes speed only.")] = 16,
    device: Annotated[str, typer.Option(metavar="NAME", help="cpu, or torch's name, such as cuda:0.")] = "cpu",
    bf16: Annotated[bool, typer.Option("--bf16", help="Surrogates in bfloat16: faster, other cloaks.")] = False,
    threads: ThreadsOption = 0,
    trace: Annotated[Path | None, typer.Option(metavar="FILE", help="One JSON line per picture and iteration.")] = None,
) -> None:
    """Cloak pictures by Fawkes v0.3, Fawkes v1.0 or LowKey, and measure what was written.

    Run again after an interruption: finished pictures are not cloaked twice.
    """
    _make_folder(out)
    with _progress() as progress:
        done = cloak_pictures(
            pictures,
            name,
            surrogates=surrogate,
            out=out,
            targets=targets,
            detector=detector,
            lpips=lpips,
            protocol=protocol.value,
            penalty=penalty,
            reference_batch=reference_batch,
            seed=seed,
            batch=batch,
            device=device,
            precision="bf16" if bf16 else "fp32",
            threads=threads,
            trace=trace,
            progress=progress,
        )
    console = Console()
    console.print(f"{done.written} pictures cloaked, {done.before} were before, {len(done.excluded)} excluded.")
    for exclusion in done.excluded[:5]:
        console.print(f"  {exclusion.path}: {_plain(exclusion.reason)}", soft_wrap=True, highlight=False)
    if done.rows:
        console.print(_cloak_table(done.rows))
    console.print(f"Every picture's numbers are in [bold]{out / 'manifest.csv'}[/]. Next:", soft_wrap=True)
    console.print(
        f"  facecure evaluate --clean {pictures} --cloaked cloak={out / 'manifest.csv'} --unprotected "
        f"cloak={out / 'clean'} -e extractor.toml --detector yunet.onnx --out evaluation/",
        soft_wrap=True,
        highlight=False,
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


@app.command(
    epilog="**Example**\n\n"
    "`facecure embed photos/ -e arcface.toml --detector yunet.onnx --out embeddings/` writes `embeddings/arcface.npz` "
    "with `vectors`, `identities`, `paths`, `sha256` and `extractor` (the digest)."
)
def embed(
    pictures: Annotated[Path, typer.Argument(metavar="DIR", help="<identity>/<picture>, or a CSV / Parquet manifest.")],
    *,
    extractor: ExtractorOption,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where NAME.npz per extractor and embed.json go.")],
    detector: DetectorOption = None,
    threads: ThreadsOption = 0,
) -> None:
    """Embeddings of all pictures in a folder, one NPZ file per extractor."""
    ready = [open_extractor(read_spec(spec), threads=threads) for spec in extractor]
    finder = Detector(detector) if detector else None
    samples, excluded, warnings = read_samples(pictures)
    _make_folder(out)
    with _progress() as progress:
        table = embed_pictures(samples, ready, finder, store=out / "embeddings", threads=threads, progress=progress)
    for one, embeddings in zip(ready, table.embeddings, strict=True):
        np.savez(
            out / f"{one.spec.name}.npz",
            vectors=embeddings.vectors,
            identities=np.array([s.identity for s in table.samples]),
            paths=np.array([str(s.path) for s in table.samples]),
            sha256=np.array(table.sha256),
            extractor=np.array(embeddings.extractor),
        )
    left_out = [{"path": str(e.path), "reason": e.reason} for e in [*excluded, *table.excluded]]
    what = {
        "extractors": [one.what_ran for one in ready],
        "excluded": left_out,
        "warnings": warnings,
        "environment": environment(),
    }
    (out / "embed.json").write_text(json.dumps(what, indent=1, ensure_ascii=False), encoding="utf-8")
    console = Console()
    console.print(f"{len(table.samples)} pictures embedded, {len(left_out)} excluded (reasons in {out / 'embed.json'})")
    for warning in warnings:
        console.print(f"Warning: {_plain(warning)}", style="yellow")


@app.command(epilog="**Example**\n\n`facecure demo --out demo/`")
def demo(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where pictures and contact sheet go.")] = Path("demo"),
    seed: Annotated[int, typer.Option(help="Another seed, other people.")] = 0,
) -> None:
    """Synthetic people through the whole way, offline: who is found, how often, and what cloaks change about it."""
    _make_folder(out)
    with _progress() as progress:
        done = run_demo(out, seed=seed, progress=progress)
    table = Table(title="Identified by clean pictures (synthetic people, 1-NN, 10 splits)", title_justify="left")
    for heading in ("extractor", "identified", "clean error", "95 % interval"):
        table.add_column(heading, justify="left" if heading == "extractor" else "right", no_wrap=True)
    for result in done.results:
        low, high = result.interval or (0.0, 1.0)
        error = percent(1 - result.identified / result.probes)
        counts = f"{result.identified} of {result.probes}"
        table.add_row(result.extractor, counts, error, interval((1 - high, 1 - low)))
    console = Console()
    if not console.is_terminal:
        console.width = max(console.width, 160)
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
    console.print(f"Look at [bold]{done.sheet}[/] and [bold]{done.cloaks}[/].", soft_wrap=True)
    console.print("\nNext, your own photos (a folder per person, an extractor's spec, a YuNet file; see README):")
    for line in (
        "facecure cloak photos/ --cloak fawkes-v1.0:high -s surrogate.toml --detector yunet.onnx --out cloaks/",
        "facecure evaluate --clean photos/ --cloaked fawkes=cloaks/manifest.csv --unprotected fawkes=cloaks/clean "
        "-e extractor.toml --detector yunet.onnx --out run/",
    ):
        console.print(f"  {line}", soft_wrap=True, highlight=False)


@app.command(epilog="**Example**\n\n`facecure info`")
def info() -> None:
    """Versions, processor, what was built, and which extras are installed."""
    found = environment()
    table = Table("", "", show_header=False, box=None)
    for key in ("python", "platform", "cpu", "cpu_simd", "threads", "cuda_built", "cuda_devices", "commit"):
        table.add_row(key.replace("_", " "), str(found[key]))
    table.add_row("packages", ", ".join(f"{name} {version}" for name, version in found["versions"].items()))
    for extra, packages in EXTRAS.items():
        missing = [package for package in packages if version_of(package) is None]
        state = f'missing {", ".join(missing)}: pip install "facecure\\[{extra}]"' if missing else "complete"
        table.add_row(f"extra {extra}", state)
    Console().print(table)


def main() -> None:
    """Run the command line; errors that a user can mend end with one line and status 2."""
    try:
        app()
    except FacecureError as error:
        Console(stderr=True).print(f"[bold red]error:[/] {_plain(str(error))}", soft_wrap=True, highlight=False)
        sys.exit(2)


def _make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--out {out}: {error.strerror}; name a folder that can be written to") from error


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


def _plain(text: str) -> str:
    return text.replace("[", "\\[")


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    """Yield a callback that draws one bar per stage on standard error; an interruption ends with status 130."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bars:
        tasks: dict[str, TaskID] = {}

        def update(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total)
            bars.update(tasks[stage], completed=done)

        try:
            yield update
        except KeyboardInterrupt:
            Console(stderr=True).print("interrupted; the same command continues where this one stopped")
            raise typer.Exit(130) from None

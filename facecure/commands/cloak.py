"""Pictures in, cloaked pictures out: the one entry to Fawkes and LowKey."""

from __future__ import annotations

import copy
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from facecure.cloaks.apply.faces import Tool
from facecure.cloaks.apply.ledger import Ledger
from facecure.cloaks.apply.run import CloakRun
from facecure.cloaks.apply.writer import COLUMNS, QUALITY, Format
from facecure.errors import InputError
from facecure.execution import Progress, silent, torch_device, torch_threads
from facecure.extractors.runtimes.torch import load_network, state_sha256
from facecure.extractors.spec import ExtractorSpec
from facecure.names import shown
from facecure.pictures.manifest import read_sets
from facecure.runs.environment import environment
from facecure.runs.folder import RunFolder
from facecure.threads import thread_count
from facecure.types import Exclusion, ProtocolName
from facecure.zoo.find import find_detector, find_lpips, find_spec

if TYPE_CHECKING:
    from torch import nn

    from facecure.cloaks.catalogue import Choice
    from facecure.cloaks.lpips import Lpips
    from facecure.cloaks.surrogate import Surrogate

Precision = Literal["fp32", "bf16"]


@dataclass(frozen=True, slots=True)
class Cloaked:
    """A finished run: its folder, how many pictures were cloaked now and before, and what was left out.

    `rows` are those of `manifest.csv`, as text; `warnings` what a user should know of sources and of written pictures.
    """

    folder: Path
    written: int
    before: int
    excluded: tuple[Exclusion, ...]
    rows: tuple[dict[str, str], ...]
    warnings: tuple[str, ...] = ()


def cloak(
    pictures: str | os.PathLike[str],
    name: str,
    *,
    surrogates: Sequence[str | os.PathLike[str] | ExtractorSpec | tuple[nn.Module, ExtractorSpec]],
    out: str | os.PathLike[str],
    targets: str | os.PathLike[str] | None = None,
    detector: str | os.PathLike[str] | None = None,
    lpips: str | None = None,
    protocol: ProtocolName = "corrected",
    penalty: float | None = None,
    reference_batch: int | None = None,
    whole: bool = False,
    image_format: Format = "png",
    keep_exif: bool = False,
    seed: int = 0,
    batch: int = 16,
    device: str = "cpu",
    precision: Precision = "fp32",
    threads: int = 0,
    trace: str | os.PathLike[str] | None = None,
    progress: Progress = silent,
) -> Cloaked:
    """Return what was cloaked of a folder or manifest of pictures; writes cloaked faces and a manifest under `out`.

    `name` is one of `cloaks.catalogue.NAMES` or a mix of them. `surrogates` are specs with torch weights, names of the
    zoo, or pairs of any torch module and the spec of its preprocessing. `targets`, a folder of other people, is needed
    for fawkes-v0.3; `lpips`, "lpips-alex" of the zoo, "alex=BACKBONE,HEADS" (or squeeze, vgg) or "none", for LowKey.
    Under `corrected` surrogates that align see the face aligned, which needs a `detector`; under `facecure-2021` they
    see the whole face, and the released code's quirks are kept. `reference_batch` adds those by which pictures of a
    batch influence each other; otherwise `batch` changes speed only. `trace` is a file for one JSON line per picture
    and iteration.

    Pictures are face crops and become faces in the tool's size. With `whole` they are photos: every face that the
    detector finds is cut out by the tool's own geometry, cloaked and put back, and the photo is written in its own
    size. `image_format` is png, jpeg or webp, these two at quality 95. Photos keep their colour profile, and with
    `keep_exif` what the camera wrote, the place included, but never its thumbnail.

    Under `out` go `cloaked/<identity>/` with the tools' own names, `clean/<identity>/` with the same faces uncloaked,
    `manifest.csv` with what was measured on the written pictures, and `cloak.json`. Called again, it continues. Raises
    `InputError`, `MissingDependency` or `DigestMismatch` before any long work where that is possible.
    """
    where = torch_device(device)
    from facecure.cloaks.catalogue import Options, make, parse

    if protocol not in ("corrected", "facecure-2021"):
        raise InputError(f"protocol is corrected or facecure-2021, not {protocol!r}")
    if image_format not in ("png", "jpeg", "webp"):
        raise InputError(f"image_format is png, jpeg or webp, not {image_format!r}")
    if keep_exif and not (whole or "-warp" in name):
        raise InputError("face crops carry no metadata; keep_exif is for whole photos")
    if batch < 1 or (reference_batch is not None and reference_batch < 1):
        raise InputError("batch and reference batch must be 1 or more")
    choices = parse(name)
    aims = any(choice.name == "fawkes-v0.3" for choice in choices)
    if aims and targets is None:
        raise InputError("fawkes-v0.3 aims at other people: name a folder <identity>/<picture> of them with --targets")
    given = [entry if isinstance(entry, tuple) else (None, entry) for entry in surrogates]
    specs = [spec if isinstance(spec, ExtractorSpec) else find_spec(spec) for _, spec in given]
    for known, count in Counter(spec.name for spec in specs).items():
        if count > 1:
            raise InputError(f"{count} surrogates are called {known!r}; give each spec a name of its own")
    models = [_surrogate(network, spec, str(where), precision) for (network, _), spec in zip(given, specs, strict=True)]
    options = Options(protocol, penalty, reference_batch, _lpips(lpips, choices, str(where)))
    tools = [Tool(choice, make(choice, models, options), specs, whole=whole) for choice in choices]
    finder = find_detector(detector)
    if finder is None and any(tool.needs_landmarks for tool in tools):
        raise InputError(
            "faces have to be found, in photos and for surrogates that align them: name yunet of the zoo or a YuNet "
            "ONNX file with --detector or FACECURE_DETECTOR (face crops under --protocol facecure-2021 need none)"
        )
    sets = read_sets(Path(pictures), {}, {}, [])
    for sample in sets.samples:
        if any(Path(name).name != name or "\0" in name for name in (sample.identity, sample.key)):
            raise InputError(f"{sample.path}: files are called after identity and key, so both must be plain names")
    parameters = {
        "cloak": [{"name": str(t.choice), "share": t.choice.share, **t.cloak.parameters()} for t in tools],
        "protocol": protocol,
        "seed": seed,
        "whole": whole,
        "exif": keep_exif,
        "format": image_format if image_format == "png" else f"{image_format}, quality {QUALITY}",
        "surrogates": [
            {
                "name": model.name, "digest": model.digest, "architecture": model.architecture, "precision": precision,
                "sees": "the face aligned" if all(tool.aligned(i) for tool in tools) else "the whole face",
            }
            for i, model in enumerate(models)
        ],
        "detector": finder.digest if finder and any(tool.needs_landmarks for tool in tools) else None,
        "targets": str(targets) if aims else None,
        "device": str(where),
    }  # fmt: skip
    with RunFolder(Path(out), parameters, what="cloak") as folder:
        ledger = Ledger(folder, [*COLUMNS, *(f"shift_{model.name}" for model in models)])
        threads = thread_count(threads)
        run = CloakRun(
            ledger, tools, finder, seed=seed, threads=threads, trace=Path(trace) if trace else None, progress=progress,
            image_format=image_format, exif=keep_exif,
        )  # fmt: skip
        with torch_threads(threads):
            if aims and targets is not None:
                run.choose_targets(sets.samples, Path(targets))
            run.go(sets.samples, reference_batch or batch, by_identity=reference_batch is not None)
        excluded = (*sets.excluded, *run.excluded)
        rows = tuple(ledger.rows.values())
        warnings = (*sets.warnings, *folder.remarks, *(f"{row['path']}: {row['note']}" for row in rows if row["note"]))
        ledger.finish([exclusion.stated for exclusion in excluded], environment(), warnings)
        if not run.written + run.before:
            reasons = "; ".join(f"{shown(e.path)}: {e.reason}" for e in excluded[:3])
            raise InputError(f"no picture of {shown(pictures)} could be cloaked: {reasons}")
        return Cloaked(Path(out), run.written, run.before, excluded, rows, warnings)


def _surrogate(network: nn.Module | None, spec: ExtractorSpec, device: str, precision: Precision) -> Surrogate:
    from facecure.cloaks.surrogate import Surrogate
    from facecure.extractors.networks.folding import fold_batch_norms

    if network is None:
        network, sha256 = load_network(spec)
        network = fold_batch_norms(network)
    else:
        sha256, network = state_sha256(network), copy.deepcopy(network)  # the caller's own stays as it is
    geometry = spec.geometry
    return Surrogate(
        network,
        size=(geometry.width, geometry.height),
        mean=spec.mean,
        std=spec.std,
        colour=spec.colour,
        border=geometry.border,
        name=spec.name,
        digest=spec.digest(sha256),
        architecture=spec.architecture or type(network).__qualname__,
        device=device,
        precision=precision,
        channels_last=True,  # the faster layout on every device measured, bench/cloak.py
    )


def _lpips(text: str | None, choices: Sequence[Choice], device: str) -> Lpips | None:
    """Return the perceptual distance that LowKey asks for; None for "none" or where no LowKey is made."""
    if not any(choice.name.startswith("lowkey") for choice in choices) or text == "none":
        return None
    if text is None:
        raise InputError(
            "LowKey weighs visibility by LPIPS: name its weights with --lpips lpips-alex (fetched with facecure models "
            "fetch lpips-alex) or --lpips alex=BACKBONE,HEADS, or leave the term out with --lpips none"
        )
    from facecure.cloaks.lpips import load_lpips

    return load_lpips(*find_lpips(text), device=device)

"""What a command names: a file of the user's, or an entry of the zoo."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from facecure.errors import InputError
from facecure.execution import Precision
from facecure.extractors.runtimes import Runtime, default_runtime, open_extractor
from facecure.extractors.runtimes.fixed_batch import FixedBatchExtractor
from facecure.extractors.spec import ExtractorSpec, read_spec
from facecure.pictures.detect import VARIABLE, Detector, FaceFinder
from facecure.pictures.mtcnn import Mtcnn
from facecure.zoo.cache import ModelCache
from facecure.zoo.catalogue import zoo, zoo_entry
from facecure.zoo.exports import Exports

Named = str | os.PathLike[str]


def find_spec(named: Named) -> ExtractorSpec:
    """Return the extractor of a spec file, or of a zoo entry whose weights are on this machine.

    Raises `InputError` naming the file and what is wrong in it, or how to get the weights.
    """
    return read_spec(Path(named)) if _is_file(named) else ModelCache().spec(zoo_entry(os.fspath(named)))


def find_extractor(
    named: Named, runtime: Runtime | Literal["auto"] | None = None, precision: Precision = "fp32", *, threads: int = 0,
    device: str = "cpu",
) -> FixedBatchExtractor:  # fmt: skip
    """Return the extractor of a spec file or zoo entry, executed by a runtime in a precision on a device.

    Without a runtime it is what the weights file needs by itself. "auto" is what a certificate of the present export,
    the installed version and this kind of processor found to be fastest, in the batch that was, or the default where
    none was faster; `passed_over` says what other processors' certificates it did not use. Raises
    as `find_spec` and `open_extractor` do, where an export has to be made first, and for "auto" with a precision, which
    it chooses itself.
    """
    spec = find_spec(named)
    if runtime == "auto" and precision != "fp32":
        raise InputError("runtime auto chooses the precision too; name a runtime, or leave the precision out")
    runtime = runtime or default_runtime(spec)
    if runtime == default_runtime(spec) and precision == "fp32":
        return open_extractor(spec, runtime, precision, threads=threads, device=device)
    exports = Exports(spec)
    if runtime != "auto":
        graph = exports.graph(runtime, precision)
        return open_extractor(spec, runtime, precision, graph=graph, threads=threads, device=device)
    certified, elsewhere = exports.certified(device)
    for known in certified:
        graph = exports.graph(known.runtime, known.precision)
        found = open_extractor(
            spec, known.runtime, known.precision, graph=graph, threads=threads, batch=known.batch, device=device
        )
        if found.what_ran["runtime"] == known.version:
            break
    else:
        found = open_extractor(spec, threads=threads, device=device)
    found.passed_over = elsewhere
    return found


def find_detector(named: Named | None) -> FaceFinder | None:
    """Return the detector of a file or zoo entry, by default that of FACECURE_DETECTOR; None where nothing is named."""
    named = named or os.environ.get(VARIABLE)
    if not named:
        return None
    if _is_file(named):
        return Detector(Path(named))
    entry = zoo_entry(os.fspath(named))
    if entry.kind != "detector":
        raise InputError(f"{entry.name} is no detector; try yunet or mtcnn")
    files = ModelCache().files(entry)
    return Mtcnn(*files) if entry.name == "mtcnn" else Detector(*files)


def find_lpips(named: str) -> tuple[str, Path, Path]:
    """Return LPIPS' network and its two files, of "alex=BACKBONE,HEADS" or of a zoo entry such as "lpips-alex".

    Raises `InputError` where the text is neither, or saying how to get the weights.
    """
    trunk, equals, files = named.partition("=")
    backbone, comma, heads = files.partition(",")
    if trunk and equals and comma and backbone and heads:
        return trunk, Path(backbone), Path(heads)
    known = [entry.name for entry in zoo().values() if entry.kind == "perceptual distance"]
    if named not in known:
        raise InputError(f"--lpips takes one of {', '.join(known)}, or alex=BACKBONE,HEADS, or none, not {named!r}")
    body, head = ModelCache().files(zoo_entry(named))
    return named.removeprefix("lpips-"), body, head


def _is_file(named: Named) -> bool:
    """Return whether a path is meant; the names of the zoo have neither folders nor endings."""
    path = Path(named)
    return bool(path.suffix) or len(path.parts) > 1 or path.is_file()

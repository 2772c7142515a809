"""What a command names: a file of the user's, or an entry of the zoo."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from facecure.errors import InputError
from facecure.execution import Execution
from facecure.extractors.runtimes import default_runtime, open_extractor
from facecure.extractors.runtimes.fixed_batch import FixedBatchExtractor
from facecure.extractors.spec import ExtractorSpec, read_spec
from facecure.pictures.detect import DETECTORS, VARIABLE, Detector, check_detector
from facecure.pictures.yunet import YuNet
from facecure.registry import class_of
from facecure.types import Named
from facecure.zoo.cache import ModelCache
from facecure.zoo.catalogue import zoo, zoo_entry
from facecure.zoo.exports import Exports


def find_spec(named: Named) -> ExtractorSpec:
    """Return the extractor of a spec file, or of a zoo entry whose weights are on this machine.

    Raises `InputError` naming the file and what is wrong in it, or how to get the weights.
    """
    return read_spec(Path(named)) if _is_file(named) else ModelCache().spec(zoo_entry(os.fspath(named)))


def find_extractor(named: Named, execution: Execution = Execution()) -> FixedBatchExtractor:
    """Return the extractor of a spec file or zoo entry, executed as asked.

    The runtime "auto" is what a certificate of the present export, the installed version and this kind of processor
    says is the fastest, in the batch that was, or the default where none was faster; `passed_over` says
    which certificates are not trusted, and why. Raises as `find_spec` and `open_extractor` do, and where an export has
    to be made first.
    """
    spec = find_spec(named)
    runtime = execution.runtime or default_runtime(spec)
    if runtime == default_runtime(spec) and execution.precision == "fp32":
        return open_extractor(spec, execution)
    exports = Exports(spec)
    if runtime != "auto":
        return open_extractor(spec, execution, graph=exports.graph(runtime, execution.precision))
    trusted, remarks = exports.certificates.trusted(execution.kind, exports.sha256)
    for certificate in trusted:
        runtime, precision = certificate.runtime, certificate.precision
        asked = replace(execution, runtime=runtime, precision=precision, batch=certificate.speed.batch)
        extractor = open_extractor(spec, asked, graph=exports.graph(runtime, precision))
        if extractor.what_ran["runtime"] == certificate.ran["runtime"]:  # the version, too
            break
    else:
        extractor = open_extractor(spec, replace(execution, runtime=None))
    extractor.passed_over = remarks
    return extractor


def find_detector(named: Named | None, wanted_by: ExtractorSpec | None = None) -> Detector | None:
    """Return the detector of a file or zoo entry, by default that of FACECURE_DETECTOR; None where nothing is named.

    Raises `InputError` where nothing is named and the extractor `wanted_by` works on faces that have to be found.
    """
    named = named or os.environ.get(VARIABLE)
    if not named:
        check_detector([wanted_by.name] if wanted_by and wanted_by.geometry.found else [], None)
        return None
    if _is_file(named):
        return YuNet(Path(named))
    entry = zoo_entry(os.fspath(named))
    if entry.kind != "detector":
        raise InputError(f"{entry.name} is not a detector; try {' or '.join(DETECTORS)}")
    detector: Detector = class_of(DETECTORS, entry.name, "detector")(*ModelCache().files(entry))
    return detector


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
        raise InputError(f"lpips is one of {', '.join(known)}, or alex=BACKBONE,HEADS, or none, not {named!r}")
    body, head = ModelCache().files(zoo_entry(named))
    return named.removeprefix("lpips-"), body, head


def _is_file(named: Named) -> bool:
    """Return whether a path is meant; the names of the zoo have neither folders nor endings."""
    path = Path(named)
    return bool(path.suffix) or len(path.parts) > 1 or path.is_file()

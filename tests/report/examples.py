"""Reports for the tests, of counts that are easy to reckon with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from facecure.report.comparison import Comparison
from facecure.report.model import CellResult, IdentityResult, Rate, Report, RevealedBy, Unmeasured
from facecure.report.provenance import DetectorRan, Environment, PictureCounts, Protocol
from facecure.types import Exclusion, Suspect

ANN = IdentityResult(
    identity="Ann", protection=Rate(6, 10), clean=Rate(1, 10), control=Rate(1, 20), enrolled=Rate(7, 14),
    revealed_by=(RevealedBy("ann/1.png", 3, 1), RevealedBy("ann/2.png", 1, 1)),
)  # fmt: skip
BOB = IdentityResult(
    identity="Bob", protection=Rate(2, 8), clean=Rate(0, 8), control=Rate(0, 0), enrolled=Rate(0, 10),
    revealed_by=(RevealedBy("bob/1.png", 4, 3), RevealedBy("bob/2.png", 2, 0)),
)  # fmt: skip
# 18 probes, 10 identified: 8/18 = 44.4 %; clean 17/18 found; bob/1.png alone reveals 3: without it 11/18 = 61.1 %
CELL = CellResult(
    cloak="fawkes", extractor="arcface", protocol="corrected", identities=(ANN, BOB), splits=(Rate(5, 10), Rate(3, 8)),
    unmeasured=(Unmeasured("Cid", "no probe: too few"),), distinct_probes=11, other_people=4, other_pictures=17,
)  # fmt: skip
UNMEASURED = CellResult(
    cloak="lowkey", extractor="arcface", protocol="corrected", splits=(Rate(0, 0), Rate(0, 0)),
    unmeasured=(Unmeasured("Ann", "no usable cloaked picture"),),
)  # fmt: skip
RAN = {
    "name": "arcface", "runtime": "onnxruntime 1.22", "precision": "fp32", "device": "cpu", "weights_sha256": "a" * 64,
    "digest": "b" * 64, "training_set": "CASIA-WebFace", "year": None, "licence": "none stated",
}  # fmt: skip
ENVIRONMENT = Environment(
    python="3.11", cpu="a processor", cpu_simd="avx2", threads=2, threads_by="4 CPUs, cgroup quota 1.5",
    commit="c" * 40, versions={"numpy": "2.0"}, extractors=(RAN,), detector=DetectorRan("y.onnx", "d" * 64, "e" * 64),
    seconds={"embed": 1.25}, recognisers={"arcface": {"recogniser": "nn", "words": "1-NN"}},
)  # fmt: skip
COMPARISON = Comparison(
    cloaks=("fawkes", "lowkey"), extractors=("arcface",), probes=11, identities=2, first=1, second=4,
    difference=-0.25, mcnemar=0.375, clustered=0.25, holm=0.5,
)  # fmt: skip
REPORT = Report(
    cells=(CELL,),
    protocol=Protocol("corrected", 2, 7, ("a fix", "another fix")),
    pictures={"clean": PictureCounts(2, 30, 31)},
    excluded=(Exclusion(Path("bob/3.jpg"), "unreadable: truncated"),),
    warnings=("mind this",),
    environment=ENVIRONMENT,
    date="2026-11-27T00:52:15+00:00",
)
FULL = replace(
    REPORT,
    cells=(
        replace(CELL, bootstrap=(0.1 + 0.2, 1 / 3), chance=0.2, uncloaked=("ann/1.png",), year=2018, white_box=True),
        UNMEASURED,
    ),
    excluded=(Exclusion(Path("b/ö.jpg"), 'unreadable: "\\"\n'),),
    comparisons=(COMPARISON,),
    suspects=(Suspect(Path("ann/1.png"), "uncloaked: x"),),
)

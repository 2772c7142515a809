"""A certificate that allows everything its fields can say, for tests to change."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from facecure.certificates.certificate import Bounds, Certificate, Certified, Speed
from facecure.certificates.compare import Differences, Shift
from facecure.runs.environment import environment
from facecure.types import Exclusion

DIFFERENCES = Differences(
    decisions=100,
    changed=2,
    margins=(0.001, 0.25),
    identified=Shift(60, 58, 57),
    protected={"lowkey": Shift(40, 10, 12)},
    error={"0.5": 1e-6, "0.9": 2e-6, "0.99": 3e-6, "1.0": 4e-6},
    distance_bound=0.004,
    settled_changed=0,
    embedded_again=7,
    faces=48,
)
CERTIFICATE = Certificate(
    extractor="plain",
    runtime="openvino",
    precision="fp32",
    device="cpu",
    differences=DIFFERENCES,
    bounds=Bounds(2, 1e-4),
    speed=Speed(100.0, 250.0, 16),
    faces=Certified(
        "faces", {"lowkey": "lowkey/manifest.csv"}, 48, 6, (Exclusion(Path("caf\udce9.png"), "unreadable: é"),),
        ("a warning",), None,
    ),
    export_sha256="0" * 64,
    environment=environment(),
    reference={"runtime": "torch 2"},
    ran={"runtime": "openvino 1"},
)  # fmt: skip


def with_differences(**changes) -> Certificate:
    return replace(CERTIFICATE, differences=replace(DIFFERENCES, **changes))

"""A spec that is written is the spec that is read."""

from __future__ import annotations

from dataclasses import replace

import pytest

from facecure.extractors.spec import ExtractorSpec, RobustTraining, read_spec
from facecure.extractors.spec_file import spec_text
from facecure.types import FaceGeometry

TEMPLATE = ((38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041))
ROBUST = RobustTraining(
    "parent", "ab" * 32, "matching", ("lowkey", "fawkes-v1.0"), ('Zoë "Q" \\ O\'Neil\n\x7f', "李小龍")
)
GEOMETRIES = {
    "crop": FaceGeometry(160, 120, interpolation="bicubic", padding=0.125, stretch=True, border="replicate"),
    "align": FaceGeometry(96, 112, "align", (112.0, 112.0), TEMPLATE, (8.0, 0.0, 104.0, 112.0)),
    "box": FaceGeometry(160, 160, "box", interpolation="bicubic", margin=32),
}


@pytest.mark.parametrize("robust", [None, ROBUST, replace(ROBUST, cloaks=(), identities=())])
@pytest.mark.parametrize("year", [None, 2026])
@pytest.mark.parametrize("architecture", [None, "iresnet50"])
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_written_and_read_again(tmp_path, geometry, architecture, year, robust):
    spec = ExtractorSpec(
        "name-1.0+x", tmp_path / 'we"ights é.pt', "0f" * 32, GEOMETRIES[geometry], "BGR", "NCHW",
        (127.5, 1e-7, 103.93900299072266), (128.0, -57.375, 1e22), 512, False, architecture, 'set "A"', "terms\tB",
        "MIT", year, robust=robust, state=architecture and "ema.model", mirror=architecture is not None,
        exported_from=None if architecture else "ab" * 32,
    )  # fmt: skip
    (tmp_path / "spec.toml").write_text(spec_text(spec), encoding="utf-8")
    assert read_spec(tmp_path / "spec.toml") == spec
    assert read_spec(tmp_path / "spec.toml").geometry.digest == spec.geometry.digest


def test_without_a_checksum(tmp_path):
    spec = ExtractorSpec(
        "plain", tmp_path / "w.onnx", None, FaceGeometry(8, 8), "RGB", "NHWC", (0.0,) * 3, (1.0,) * 3, 4, True
    )  # fmt: skip
    (tmp_path / "spec.toml").write_text(spec_text(spec), encoding="utf-8")
    assert read_spec(tmp_path / "spec.toml") == spec

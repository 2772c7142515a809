"""What an extractor must be for each scenario, and which cells are white boxes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from facecure.errors import InputError
from facecure.extractors.spec import ExtractorSpec, RobustTraining
from facecure.protocols.scenario import check_extractors, check_identities, white_box
from facecure.types import FaceGeometry

PLAIN = ExtractorSpec("plain", Path("x"), None, FaceGeometry(8, 8), "RGB", "NCHW", (0.0,) * 3, (1.0,) * 3, 4, True)
DATED = replace(PLAIN, name="dated", year=2019)
ROBUST = replace(
    DATED, name="robust", robust=RobustTraining("dated", "0" * 64, "matching", ("lowkey",), ("Ann", "Bob"))
)


@pytest.mark.parametrize(("scenario", "specs", "says"), [
    ("baseline", [PLAIN, DATED, ROBUST], None),
    ("oblivious", [DATED, ROBUST], None),
    ("oblivious", [DATED, PLAIN], r"plain: .*add year"),
    ("adaptive", [ROBUST], None),
    ("adaptive", [ROBUST, DATED], r"dated was not trained on cloaks.*train-robust dated"),
    ("omniscient", [], "scenario is one of baseline, oblivious, adaptive"),
])  # fmt: skip
def test_extractors_fit_the_scenario(scenario, specs, says):
    if says is None:
        check_extractors(scenario, specs)
    else:
        with pytest.raises(InputError, match=says):
            check_extractors(scenario, specs)


def test_nobody_is_trained_on_and_evaluated():
    assert check_identities([PLAIN, ROBUST], {"Cid"}, {"Dan"}) == []
    (warning,) = check_identities([PLAIN, ROBUST], {"Cid"}, {"Ann", "Bob", "Dan"})
    assert "robust was trained on 2 of the other people" in warning
    with pytest.raises(InputError, match="robust was trained on cloaked pictures of Bob"):
        check_identities([PLAIN, ROBUST], {"Bob", "Cid"}, set())


def test_white_boxes_of_our_own_cloaks_are_known_by_digest(tmp_path):
    (tmp_path / "cloak.json").write_text(json.dumps({"surrogates": [{"digest": "a" * 64}, {"digest": "b" * 64}]}))
    (tmp_path / "cloaked").mkdir()
    for source in (tmp_path / "manifest.csv", tmp_path / "cloaked", tmp_path):
        assert white_box("lowkey", source, PLAIN, "b" * 64) is True
        assert white_box("lowkey", source, replace(PLAIN, name="lowkey-ir152-cosface"), "c" * 64) is False
    (tmp_path / "cloak.json").write_text("{")
    with pytest.raises(InputError, match=r"cloak\.json is damaged"):
        white_box("lowkey", tmp_path, PLAIN, "b" * 64)


def test_a_separate_export_of_a_surrogate_is_a_white_box_too(tmp_path):
    (tmp_path / "cloak.json").write_text(json.dumps({"surrogates": [{"digest": "a" * 64}]}))
    assert white_box("lowkey", tmp_path, replace(PLAIN, exported_from="a" * 64), "c" * 64) is True
    assert white_box("lowkey", tmp_path, replace(PLAIN, exported_from="d" * 64), "c" * 64) is False


@pytest.mark.parametrize(("cloak", "extractor", "expected"), [
    ("fawkes-v1.0", "fawkes-extractor-0", True), ("fawkes-v1.0-high", "fawkes-extractor-2", True),
    ("fawkes-v1.0", "fawkes-high", False), ("fawkes-v0.3", "fawkes-high", True), ("lowkey", "sface-opencv", False),
    ("lowkey", "lowkey-resnet152-cosface", True), ("mine", "fawkes-high", None),
])  # fmt: skip
def test_white_boxes_of_the_original_tools_are_known_by_name(tmp_path, cloak, extractor, expected):
    assert white_box(cloak, tmp_path, replace(PLAIN, name=extractor), "0" * 64) is expected

"""Against which extractors a cloak was made: by digest where `facecure.cloak` wrote it, else by the tool's name."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from facecure.cloaks.apply.origin import white_box
from facecure.errors import InputError
from facecure.extractors.packaged import packaged_specs
from facecure.extractors.spec import read_spec

PLAIN = read_spec(packaged_specs()[0])


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

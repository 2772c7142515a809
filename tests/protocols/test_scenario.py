"""What an extractor must be for each scenario, and which cells are white boxes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from facecure.errors import InputError
from facecure.extractors.spec import ExtractorSpec, RobustTraining
from facecure.protocols.scenario import check_extractors, check_identities
from facecure.types import FaceGeometry, Sample

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
])  # fmt: skip
def test_extractors_fit_the_scenario(scenario, specs, says):
    if says is None:
        check_extractors(scenario, specs)
    else:
        with pytest.raises(InputError, match=says):
            check_extractors(scenario, specs)


def pictures(cloaked: set[str], others: set[str]) -> list[Sample]:
    clean = [Sample(name, Path(name), "a") for name in cloaked | others]
    return [*clean, *(Sample(name, Path(f"{name} cloaked"), "a", "cloaked", "x") for name in cloaked)]


def test_nobody_is_trained_on_and_evaluated():
    assert check_identities([PLAIN, ROBUST], pictures({"Cid"}, {"Dan"})) == []
    (warning,) = check_identities([PLAIN, ROBUST], pictures({"Cid"}, {"Ann", "Bob", "Dan"}))
    assert "robust was trained on 2 of the other people" in warning
    with pytest.raises(InputError, match="robust was trained on cloaked pictures of Bob"):
        check_identities([PLAIN, ROBUST], pictures({"Bob", "Cid"}, set()))

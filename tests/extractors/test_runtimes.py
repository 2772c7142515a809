"""A runtime is a class and a line in a registry: one from outside is opened and checked like ours."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from facecure.errors import InputError
from facecure.execution import Execution
from facecure.extractors.runtimes import RUNTIMES, exported_for, open_extractor
from facecure.extractors.runtimes.fixed_batch import FixedBatchExtractor
from facecure.extractors.spec import ExtractorSpec
from facecure.types import FaceGeometry, Faces

SPEC = ExtractorSpec(
    "means", Path("nowhere.onnx"), None, FaceGeometry(4, 2), "RGB", "NCHW", (0.0,) * 3, (1.0,) * 3, 3, normalise=False
)


class Means(FixedBatchExtractor):
    """Embeds a face as its mean colour."""

    precisions = ("fp32",)

    def __init__(self, spec, execution, *, graph=None):
        super().__init__(spec, "0" * 64, execution)
        self.batch = execution.batch or 4

    @classmethod
    def graph_precision(cls, precision):
        return None

    def _runtime(self):
        return {"runtime": "means 1", "device": "cpu"}

    def _forward(self, block):
        return block.mean(axis=(2, 3))


@pytest.fixture
def outside(monkeypatch):
    module = ModuleType("somebody_elses")
    module.Means = Means
    monkeypatch.setitem(sys.modules, "somebody_elses", module)
    monkeypatch.setitem(RUNTIMES, "means", "somebody_elses:Means")


@pytest.mark.usefixtures("outside")
@pytest.mark.parametrize("count", [0, 1, 4, 5])
def test_a_runtime_from_outside_embeds(count):
    pixels = np.random.default_rng(count).integers(0, 256, (count, 2, 4, 3), np.uint8)
    extractor = open_extractor(SPEC, Execution("means", batch=3))
    expected = pixels.astype(np.float64).mean(axis=(1, 2)).reshape(count, 3)
    np.testing.assert_allclose(extractor.embed(Faces(pixels, SPEC.geometry)).vectors, expected, rtol=1e-6)
    assert extractor.what_ran["runtime"] == "means 1"
    assert "means" not in exported_for()


@pytest.mark.usefixtures("outside")
def test_what_it_does_not_have_is_named():
    with pytest.raises(InputError, match="means computes in fp32, not bf16"):
        open_extractor(SPEC, Execution("means", "bf16"))
    with pytest.raises(InputError, match="means runs on cpu, not on 'cuda'"):
        open_extractor(SPEC, Execution("means", device="cuda"))
    with pytest.raises(InputError, match="unknown runtime 'mean'; did you mean 'means'"):
        open_extractor(SPEC, Execution("mean"))

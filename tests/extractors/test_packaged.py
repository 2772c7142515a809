"""The packaged extractors recognise synthetic people well above pixels, differ from each other, and match torch."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from facecure.extractors.packaged import packaged_specs, packaged_surrogate
from facecure.extractors.runtimes.onnx import OnnxExtractor
from facecure.extractors.spec import read_spec
from facecure.types import Faces

from ..conftest import load_script

pytestmark = pytest.mark.slow

training = load_script(Path(__file__).parents[2] / "bench" / "train_packaged.py")
SPECS = packaged_specs()


@pytest.fixture(scope="module")
def held_out():
    """Faces of people that no extractor was trained on."""
    return training.faces(training.HELD_OUT, training.HELD_OUT_PEOPLE, training.HELD_OUT_PICTURES)


@pytest.fixture(scope="module")
def embedded(held_out):
    return {
        spec.stem: OnnxExtractor(read_spec(spec)).embed(Faces(held_out[0], training.GEOMETRY)).vectors for spec in SPECS
    }


def test_there_are_three_small_ones():
    assert len(SPECS) == 3
    for spec in SPECS:
        for suffix in (".onnx", ".pt"):
            assert spec.with_suffix(suffix).stat().st_size <= 1_000_000
        assert read_spec(spec).sha256 == hashlib.sha256(spec.with_suffix(".onnx").read_bytes()).hexdigest()


def test_they_recognise_people_whom_pixels_do_not(held_out, embedded):
    pixels, labels = held_out
    raw = training.nearest_accuracy(pixels.reshape(len(labels), -1).astype(np.float32) - 127.5, labels)
    assert raw < 0.5
    for name, vectors in embedded.items():
        assert training.nearest_accuracy(vectors, labels) > max(0.8, raw + 0.3), name


def test_two_of_them_disagree_on_some_errors(held_out, embedded):
    labels = held_out[1]

    def right(vectors: np.ndarray) -> np.ndarray:
        similarity = vectors @ vectors.T
        np.fill_diagonal(similarity, -np.inf)
        return labels[similarity.argmax(axis=1)] == labels

    verdicts = [right(vectors) for vectors in embedded.values()]
    assert any((one != other).sum() >= 3 for one in verdicts for other in verdicts)


def test_recorded_accuracy_is_what_these_weights_have(held_out, embedded):
    recorded = json.loads((SPECS[0].parent / "accuracy.json").read_text())
    assert recorded.keys() == {"pixels", *embedded}
    for name, vectors in embedded.items():  # recorded by torch: rounding may move single ones of 2,000 decisions
        assert recorded[name] == pytest.approx(training.nearest_accuracy(vectors, held_out[1]), abs=0.002)


@pytest.mark.parametrize("spec", SPECS, ids=lambda s: s.stem)
def test_torch_weights_and_onnx_file_agree(spec, held_out, embedded):
    torch = pytest.importorskip("torch")
    from facecure.extractors.networks.tiny import NETWORKS

    network = NETWORKS[spec.stem]()
    network.load_state_dict(torch.load(spec.with_suffix(".pt"), weights_only=True), strict=True)
    with torch.no_grad():
        vectors = network.eval()(training.normalised(held_out[0])).numpy()
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    np.testing.assert_allclose(vectors, embedded[spec.stem], atol=2e-5)


@pytest.mark.parametrize("spec", packaged_specs(), ids=lambda file: file.stem)
def test_each_names_the_network_that_it_was_exported_from(spec):
    surrogate = packaged_surrogate(spec)
    assert read_spec(spec).exported_from == surrogate.digest(surrogate.hashed_weights()[1])

"""End-to-end training finds whoever can be found, counts what the definition counts, and trains nothing twice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from facecure.errors import InputError  # noqa: E402
from facecure.extractors.spec import ExtractorSpec  # noqa: E402
from facecure.protocols.split import last_positions, make_split  # noqa: E402
from facecure.recognisers.end_to_end import EndToEnd  # noqa: E402
from facecure.recognisers.recogniser import Training  # noqa: E402
from facecure.runs.folder import RunFolder  # noqa: E402
from facecure.types import FaceGeometry, Sample  # noqa: E402

PEOPLE = ("Ann", "Bob", "Cid", "Dan")
SPEC = ExtractorSpec(
    "tiny", Path("x.pt"), None, FaceGeometry(4, 4), "RGB", "NCHW", (127.5,) * 3, (127.5,) * 3, 8, normalise=True
)
QUICK = Training(epochs=1, steps=60, batch=16)


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(48, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 8))


@pytest.fixture
def scene():
    """Ten clean pictures of four people, each a pattern with noise; Ann's and Bob's cloaks show the next person."""
    rng = np.random.default_rng(0)
    patterns = rng.integers(40, 216, (4, 4, 4, 3))
    samples, pixels = [], []
    for i, name in enumerate(PEOPLE):
        for role, cloak, shown in (("clean", "", i), *([("cloaked", "next", (i + 1) % 4)] if i < 2 else [])):
            for k in range(10):
                samples.append(Sample(name, Path(f"{name}/{role}/{k}.png"), str(k), role, cloak))
                pixels.append(np.clip(patterns[shown] + rng.normal(0, 15, (4, 4, 3)), 0, 255).astype(np.uint8))
    return samples, np.stack(pixels)


def recogniser(scene, keep=None, training=QUICK, **options) -> EndToEnd:
    _, pixels = scene
    contents = [str(hash(face.tobytes())) for face in pixels]
    return EndToEnd(SPEC, network(), pixels, contents, training, digest="d", keep=keep, **options)


def test_outcomes(scene):
    samples, _ = scene
    split = make_split(samples, ["next"], "corrected", 0, 0)
    search = recogniser(scene)
    found = search(split)["next"]
    assert [outcome.identity for outcome in found] == ["Ann", "Bob"]
    for outcome, person in zip(found, split.protected["next"], strict=True):
        assert outcome.probes == 3
        assert outcome.identified == len(outcome.identified_rows) < 3  # the cloaks taught somebody else's pattern
        assert set(outcome.identified_rows) <= set(outcome.probe_rows)
        assert outcome.clean_identified == 3
        assert outcome.enrolled == 7
        assert outcome.probe_rows == tuple(person.probes)
        assert outcome.control_probes == 9
        assert outcome.control_errors <= 3  # the next person's probes may be taken for the cloaked one
    assert search.facts.trainings == 3  # two cloaked people, and everybody clean once for both


def test_copies_as_cloaks_protect_nobody(scene):
    samples, pixels = scene
    pixels = pixels.copy()
    rows = {(s.role, s.identity, s.key): row for row, s in enumerate(samples)}
    for row, sample in enumerate(samples):
        if sample.role == "cloaked":
            pixels[row] = pixels[rows["clean", sample.identity, sample.key]]
    for outcome in recogniser((samples, pixels))(make_split(samples, ["next"], "corrected", 0, 0))["next"]:
        assert outcome.identified == outcome.clean_identified == 3
        assert outcome.enrolled_identified == 7
        assert outcome.control_errors == 0


def test_nothing_is_trained_twice(scene, tmp_path):
    split = make_split(scene[0], ["next"], "corrected", 0, 0)
    first = recogniser(scene, tmp_path)
    expected = first(split)
    again = recogniser(scene, tmp_path)
    assert again(split) == expected
    assert (first.facts.trainings, again.facts.trainings) == (3, 0)
    other = recogniser(scene, tmp_path, Training(epochs=1, steps=61, batch=16))
    other(split)
    assert other.facts.trainings == 3


@pytest.mark.parametrize("damage", [
    lambda whole: b"",
    lambda whole: whole[:-8],
    lambda whole: whole + bytes(8),
    lambda whole: whole[:-1] + bytes([whole[-1] ^ 1]),
], ids=["empty", "truncated", "more", "a bit flipped"])  # fmt: skip
def test_damaged_predictions_are_named_and_made_again(scene, tmp_path, damage):
    split = make_split(scene[0], ["next"], "corrected", 0, 0)
    quick = Training(epochs=1, steps=5, batch=8)
    expected = recogniser(scene, tmp_path, quick)(split)
    damaged = sorted(tmp_path.glob("*.npy"))[1]
    whole = damaged.read_bytes()
    damaged.write_bytes(damage(whole))
    again = recogniser(scene, tmp_path, quick)
    assert again(split) == expected
    assert (again.facts.trainings, again.facts.damaged) == (1, (str(damaged),))
    assert damaged.read_bytes() == whole
    labels = np.load(damaged, allow_pickle=False)
    assert (labels.shape, labels.dtype) == ((60,), np.int64)


def test_predictions_of_another_version_are_refused(scene, tmp_path):
    split = make_split(scene[0], ["next"], "corrected", 0, 0)
    with RunFolder(tmp_path, {"format": "facecure.predictions/3"}, what="predictions"):
        pass
    with pytest.raises(InputError, match=r"predictions.json is of a run with another format; name another folder"):
        recogniser(scene, tmp_path)(split)


def test_the_callers_network_stays_as_it_is(scene):
    own = network()
    before = {key: value.clone() for key, value in own.state_dict().items()}
    samples, pixels = scene
    EndToEnd(SPEC, own, pixels, list(map(str, range(len(pixels)))), QUICK, digest="d")(
        make_split(samples, ["next"], "corrected", 0, 0)
    )
    for key, value in own.state_dict().items():
        torch.testing.assert_close(value, before[key], rtol=0, atol=0)


def test_the_released_split_is_by_name(scene):
    assert [sorted(last_positions(n)) for n in (0, 1, 2, 10, 33)] == [[], [0], [1], [7, 8, 9], list(range(23, 33))]
    split = make_split(scene[0], ["next"], "facecure-2021", 0, 0, last=True)
    for person in split.protected["next"]:
        assert [scene[0][row].key for row in person.probes] == ["7", "8", "9"]
        assert [scene[0][row].key for row in person.cloaked] == [str(k) for k in range(7)]


def test_distractors_and_lonely_people_are_refused(scene):
    samples, pixels = scene
    stranger = [*samples[:-1], Sample("Eve", Path("e.png"), "e", "distractor")]
    with pytest.raises(InputError, match="no distractors"):
        recogniser((stranger, pixels))(make_split(stranger, ["next"], "corrected", 0, 0))
    alone = [s for s in samples if s.identity == "Ann"]
    with pytest.raises(InputError, match="nothing to tell apart"):
        recogniser((alone, pixels[: len(alone)]))(make_split(alone, ["next"], "corrected", 0, 0))
    with pytest.raises(InputError, match="1 or more"):
        Training(steps=0)


def test_progress_counts_people(scene):
    calls = []
    search = recogniser(scene, progress=lambda done, total: calls.append((done, total)))
    search(make_split(scene[0], ["next"], "corrected", 0, 0))
    assert calls == [(1, 2), (2, 2)]

"""Recipes draw from the right pictures, and their losses are what the definitions say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from facecure.countermeasures.robust_training import Classification, Matching, PublicFaces  # noqa: E402
from facecure.errors import InputError  # noqa: E402
from facecure.extractors.spec import ExtractorSpec  # noqa: E402
from facecure.training.batches import UniformClasses  # noqa: E402
from facecure.training.fine_tuning import train  # noqa: E402
from facecure.types import FaceGeometry, Sample  # noqa: E402

SPEC = ExtractorSpec(
    "tiny", Path("x.pt"), None, FaceGeometry(4, 4), "RGB", "NCHW", (127.5,) * 3, (127.5,) * 3, 6, normalise=True
)


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(48, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 6)).eval()


def sample(name: str, key: int, role: str = "clean", cloak: str = "") -> Sample:
    return Sample(name, Path(f"{name}/{role}{cloak}{key}.png"), str(key), role, cloak)


SAMPLES = [
    *(sample(name, k) for name in ("Ann", "Bob", "Cid") for k in range(4)),
    *(sample(name, k, "cloaked", "lowkey") for name in ("Ann", "Bob") for k in range(4)),
    *(sample("Cid", k, "unprotected", "fawkes") for k in range(2)),
    *(sample("Cid", k, "cloaked", "fawkes") for k in range(2)),
]
PIXELS = np.random.default_rng(0).integers(0, 256, (len(SAMPLES), 4, 4, 3), np.uint8)
FACES = PublicFaces.of(SAMPLES, PIXELS)


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def planes(rows, mirrored) -> torch.Tensor:
    faces = PIXELS[rows].astype(np.float64)
    faces[mirrored] = faces[mirrored][:, :, ::-1]
    return torch.from_numpy(((faces - 127.5) / 127.5).transpose(0, 3, 1, 2)).float()


def test_cloaked_pictures_know_their_clean_one():
    np.testing.assert_array_equal(FACES.labels[:12], np.repeat([0, 1, 2], 4))
    np.testing.assert_array_equal(FACES.clean, [*range(12), *range(8), 20, 21, 20, 21])
    np.testing.assert_array_equal(FACES.cloaked, [*range(12, 20), 22, 23])
    with pytest.raises(InputError, match="no cloaked picture"):
        PublicFaces.of(SAMPLES[:12], PIXELS[:12])


def test_the_matching_loss_is_the_distance_to_the_teachers_clean_embedding():
    made = Matching(SPEC, network(), FACES, seed=3, batch=8)
    teacher = network()
    drawn, mirrored = UniformClasses(FACES.labels[FACES.cloaked], 2 * 3, batch=8, mirror=0.5)(5)
    cloaked = FACES.cloaked[drawn]
    clean = FACES.clean[cloaked]
    with torch.no_grad():
        goal = unit(teacher(planes(clean, mirrored)).double().numpy())
        found = unit(teacher(planes(cloaked, mirrored)).double().numpy())
    expected = np.mean(1 - (goal * found).sum(1)) / 2  # the clean half has no distance before training
    assert made.loss(5).item() == pytest.approx(expected, abs=1e-6)


def test_matching_draws_cloaks_near_and_leaves_clean_pictures_and_statistics():
    own = network()
    before = {key: value.clone() for key, value in own.state_dict().items()}
    made = Matching(SPEC, own, FACES, seed=0, batch=16)
    train(made.optimiser, made.loss, range(150))
    teacher = network()
    none = np.zeros(len(SAMPLES), bool)
    with torch.no_grad():
        goal, start = (unit(teacher(planes(rows, none)).numpy()) for rows in (FACES.clean, np.arange(len(SAMPLES))))
        now = unit(made.network(planes(np.arange(len(SAMPLES)), none)).numpy())
    rows, clean = FACES.cloaked, np.unique(FACES.clean[FACES.cloaked])
    assert (now[rows] * goal[rows]).sum(1).min() > 0.9 > (start[rows] * goal[rows]).sum(1).mean()
    assert (now[clean] * goal[clean]).sum(1).min() > 0.95
    for key in ("2.running_mean", "2.running_var"):
        torch.testing.assert_close(made.network.state_dict()[key], before[key], rtol=0, atol=0)


def test_classification_tells_people_apart_and_trains_everything():
    made = Classification(SPEC, network(), FACES, seed=0, batch=16)
    assert made.model.head.out_features == 3
    before = {key: value.clone() for key, value in made.model.state_dict().items()}
    first = made.loss(0).item()
    assert first == pytest.approx(np.log(3), abs=1.0)
    train(made.optimiser, made.loss, range(120))
    made.model.eval()
    with torch.no_grad():
        found = made.model(planes(np.arange(len(SAMPLES)), np.zeros(len(SAMPLES), bool))).argmax(1).numpy()
    np.testing.assert_array_equal(found, FACES.labels)
    after = made.model.state_dict()
    assert all(not torch.equal(after[key], value) for key, value in before.items())
    with pytest.raises(InputError, match="nothing to tell apart"):
        Classification(SPEC, network(), PublicFaces.of(SAMPLES[20:], PIXELS[20:]), seed=0)


@pytest.mark.parametrize("kind", [Matching, Classification])
def test_bf16_keeps_float32_parameters(kind):
    made = kind(SPEC, network(), FACES, seed=0, batch=8, bf16=True)
    train(made.optimiser, made.loss, range(2))
    assert {parameter.dtype for parameter in made.model.parameters()} == {torch.float32}
    whole = kind(SPEC, network(), FACES, seed=0, batch=8)
    assert made.loss(0).item() != whole.loss(0).item()

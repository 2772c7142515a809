"""Robust training ends with an extractor like any other, goes on where it stopped, and keeps people apart."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from facecure.cli import app  # noqa: E402
from facecure.commands.train_robust import train_robust  # noqa: E402
from facecure.countermeasures.plan import TrainingPlan  # noqa: E402
from facecure.errors import InputError  # noqa: E402
from facecure.execution import Execution  # noqa: E402
from facecure.extractors import packaged  # noqa: E402
from facecure.extractors.spec import read_spec  # noqa: E402
from facecure.zoo.find import find_extractor  # noqa: E402

from .ask import ask  # noqa: E402

SHORT = TrainingPlan(epochs=2, steps=8, batch=8)


@pytest.fixture
def parent(tmp_path):
    """A spec file of a packaged network with torch weights."""
    weights = Path(packaged.__file__).parent / "plain.pt"
    file = tmp_path / "plain.toml"
    file.write_text(
        f'name = "plain"\nweights = "{weights}"\narchitecture = "tiny-plain"\nembedding = {{ size = 64 }}\n'
        "input = { width = 64, height = 64, mean = [127.5, 127.5, 127.5], std = [127.5, 127.5, 127.5] }\n"
    )
    return str(file)


@pytest.fixture
def public(people):
    clean = people("public", 4, 5, names="public_{:02d}")
    return clean, {"shift": people("public-cloaked", 3, 5, names="public_{:02d}", suffix="_cloaked", shift=0.6)}


@pytest.mark.parametrize("recipe", ["matching", "classification"])
def test_the_result_is_an_extractor_named_after_its_parents(parent, public, people, tmp_path, recipe):
    file = train_robust(parent, *public, out=tmp_path / "robust", plan=replace(SHORT, recipe=recipe))
    assert file == tmp_path / "robust" / "plain-robust-shift.toml"
    spec = read_spec(file)
    assert spec.robust.parent == "plain"
    assert spec.robust.parent_digest == find_extractor(parent).digest
    assert (spec.robust.recipe, spec.robust.cloaks) == (recipe, ("shift",))
    facts = json.loads((tmp_path / "robust" / "training.json").read_text())
    # of the fourth there are no cloaks: clean pictures serve to stay where one was, not to tell people apart
    people_there = 4 if recipe == "matching" else 3
    assert spec.robust.identities == tuple(f"public_{i:02d}" for i in range(people_there))
    assert facts["public"] == {"identities": people_there, "pictures": 5 * people_there + 15, "cloaked": 15}
    assert len(facts["losses"]) == 2
    assert facts["losses"][1] < facts["losses"][0]
    clean = people("mine", 4, 8)
    cloaks = {"shift": people("mine-cloaked", 2, 8, suffix="_cloaked", shift=0.6)}
    report = ask(clean, cloaks, extractors=[str(file)], scenario="adaptive", repeats=2)
    assert report.cells[0].scenario == "adaptive"
    assert report.environment.extractors[0]["sha256_enforced"] is True
    moved = tmp_path / "elsewhere"  # handed to somebody else
    moved.mkdir()
    for one in (file, spec.weights):
        (moved / one.name).write_bytes(one.read_bytes())
    assert find_extractor(moved / file.name).digest == find_extractor(file).digest


def test_an_interrupted_training_ends_as_one_that_was_not(parent, public, tmp_path):
    whole = train_robust(parent, *public, out=tmp_path / "whole", plan=SHORT)

    def stop(stage, done, total):
        if stage == "training" and done == 11:  # in the second epoch
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_robust(parent, *public, out=tmp_path / "parts", plan=SHORT, execution=Execution(progress=stop))
    steps = []
    telling = Execution(progress=lambda *told: steps.append(told))
    again = train_robust(parent, *public, out=tmp_path / "parts", plan=SHORT, execution=telling)
    assert [d for s, d, _ in steps if s == "training"] == list(range(9, 17))
    a, b = (torch.load(read_spec(file).weights, weights_only=True) for file in (whole, again))
    for key in a:
        torch.testing.assert_close(a[key], b[key], rtol=0, atol=0)
    finished = []
    telling = Execution(progress=lambda stage, done, total: finished.append(stage))
    train_robust(parent, *public, out=tmp_path / "parts", plan=SHORT, execution=telling)
    assert "training" not in finished  # nothing is left to do


def test_another_training_is_not_mixed_in(parent, public, tmp_path):
    train_robust(parent, *public, out=tmp_path / "robust", plan=SHORT)
    with pytest.raises(InputError, match=r"training\.json is of a run with another seed; name another folder"):
        train_robust(parent, *public, out=tmp_path / "robust", plan=replace(SHORT, seed=1))
    (tmp_path / "robust" / "training.json").write_text("{")
    with pytest.raises(InputError, match="is damaged"):
        train_robust(parent, *public, out=tmp_path / "robust", plan=SHORT)


def test_people_who_are_evaluated_are_not_trained_on(parent, public, people, tmp_path):
    evaluated = people("mine", 2, 3, names="public_{:02d}")
    with pytest.raises(InputError, match="public_00, public_01 would be trained on and evaluated"):
        train_robust(parent, *public, out=tmp_path / "robust", evaluated=evaluated, plan=SHORT)
    assert not (tmp_path / "robust").exists()
    file = train_robust(parent, *public, out=tmp_path / "robust", plan=SHORT)
    cloaks = {"shift": people("mine-cloaked", 2, 3, names="public_{:02d}", suffix="_cloaked", shift=0.6)}
    with pytest.raises(InputError, match="was trained on cloaked pictures of public_00, public_01"):
        ask(evaluated, cloaks, extractors=[str(file)], repeats=1)


@pytest.mark.parametrize(("options", "says"), [
    (lambda: {"plan": TrainingPlan("hope")}, "unknown recipe 'hope'"),
    (lambda: {"plan": TrainingPlan(epochs=0)}, "1 or more"),
    (lambda: {"execution": Execution(device="cuda:99")}, "cannot be used"),
    (lambda: {"execution": Execution(precision="fp16")}, "fp32 or bf16, not fp16"),
], ids=["recipe", "epochs", "device", "precision"])  # fmt: skip
def test_what_cannot_be_done_is_said_before_any_work(parent, public, tmp_path, options, says):
    with pytest.raises(InputError, match=says):
        train_robust(parent, *public, out=tmp_path / "robust", **options())
    assert not (tmp_path / "robust").exists()


def test_without_a_cloak_there_is_nothing_to_train_on(parent, public, tmp_path):
    with pytest.raises(InputError, match="at least one cloak"):
        train_robust(parent, public[0], {}, out=tmp_path / "robust")


def test_more_epochs_go_on_from_the_last_and_a_damaged_checkpoint_from_none(parent, public, tmp_path):
    out, short = tmp_path / "robust", replace(SHORT, epochs=1)
    train_robust(parent, *public, out=out, plan=short)
    file = train_robust(parent, *public, out=out, plan=SHORT)
    whole = train_robust(parent, *public, out=tmp_path / "whole", plan=SHORT)
    assert read_spec(file).sha256 == read_spec(whole).sha256
    checkpoint = out / "checkpoint.pt"
    checkpoint.write_bytes(checkpoint.read_bytes()[:-1])
    assert read_spec(train_robust(parent, *public, out=out, plan=SHORT)).sha256 == read_spec(whole).sha256
    (warning,) = json.loads((out / "training.json").read_text())["warnings"]
    assert warning == f"{checkpoint} was not what had been written; it was made again"


def test_the_command(parent, public, tmp_path):
    from typer.testing import CliRunner

    clean, cloaked = public
    arguments = [
        "train-robust", parent, "--clean", str(clean), "--cloaked", f"shift={cloaked['shift']}", "--out",
        str(tmp_path / "robust"), "--epochs", "1", "--steps", "2", "--batch", "4", "--bf16",
    ]  # fmt: skip
    done = CliRunner().invoke(app, arguments, env={"COLUMNS": "200", "NO_COLOR": "1"})
    assert done.exit_code == 0, done.output
    assert "evaluate --scenario adaptive -e" in done.output
    assert json.loads((tmp_path / "robust" / "training.json").read_text())["precision"] == "bf16"
    assert read_spec(tmp_path / "robust" / "plain-robust-shift.toml").sha256

"""bench/gpu/run.sh: its dry run does every step on the CPU; a step that fails or hangs stops no other."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

pytest.importorskip("torch")
FOLDER = Path(__file__).parents[1] / "bench" / "gpu"


@pytest.fixture
def steps(monkeypatch):
    spec = importlib.util.spec_from_file_location("steps", FOLDER / "steps.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "steps", module)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_the_dry_run_passes(tmp_path):
    surroundings = os.environ | {"OUT": str(tmp_path), "PYTHON": sys.executable}
    done = subprocess.run(
        [FOLDER / "run.sh", "--dry-run"], env=surroundings, capture_output=True, text=True, check=False
    )
    log = tmp_path / "log.txt"
    assert done.returncode == 0, done.stderr + (log.read_text() if log.exists() else "")
    found = {step["name"]: step for step in json.loads((tmp_path / "results.json").read_text())["steps"]}
    assert {name: step["status"] for name, step in found.items()} == {
        "build": "skipped", "tests": "passed", "cloak_gpu": "passed", "population_gpu": "passed", "embed_gpu": "passed",
    }  # fmt: skip
    assert all(found[name]["result"]["correct"] for name in ("cloak_gpu", "population_gpu", "embed_gpu"))
    assert "| tests | passed |" in (tmp_path / "summary.md").read_text()
    assert {file.name for file in tmp_path.iterdir()} == {"log.txt", "results.json", "summary.md"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("print(1)", "passed"),
        ("raise SystemExit(3)", "failed"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "failed"),
        ("import time; print('so far', flush=True); time.sleep(600)", "out of time"),
    ],
)
def test_what_became_of_a_step(steps, tmp_path, code, status):
    step = steps.Step("one", [sys.executable, "-c", code], 0)
    with (tmp_path / "log.txt").open("w") as log:
        steps.carry_out(step, 5.0 if status == "out of time" else 500.0, log, tmp_path)
    assert step.status == status
    assert "===== one" in (tmp_path / "log.txt").read_text()


def test_no_time_is_no_run(steps, tmp_path):
    step = steps.Step("one", ["false"], 9)
    steps.carry_out(step, -1, None, tmp_path)
    assert step.status == "not run"


@pytest.mark.parametrize("correct", [True, False])
def test_a_wrong_result_is_a_failure(steps, tmp_path, correct):
    result = {"ours_s": 2.0, "reference_s": 5.0, "reference": "r", "correct": correct}
    step = steps.Step("cloak_gpu", [sys.executable, "-c", f"print('noise'); print({json.dumps(result)!r})"], 0)
    with (tmp_path / "log.txt").open("w") as log:
        steps.carry_out(step, 500.0, log, tmp_path)
    assert (step.status, step.figures["ratio"]) == ("passed" if correct else "failed", 2.5)


def test_what_is_missing_is_named_with_its_cure(steps, monkeypatch):
    version = metadata.version
    monkeypatch.setattr(steps.metadata, "version", lambda name: "0.1" if name == "pytest" else version(name))
    monkeypatch.setattr(steps.shutil, "which", lambda tool: None)
    found = "\n".join(steps.missing(dry=False))
    assert "pytest>=8.2 is needed, not 0.1" in found
    assert "run.sh --wheels" in found
    assert "nvcc (CUDA's compiler) is not on the PATH" in found
    assert "nvcc" not in "\n".join(steps.missing(dry=True))


def test_limits_fit_into_nine_minutes(steps):
    assert steps.TOTAL <= 9 * 60
    assert steps.BUILD + steps.TESTS < steps.TOTAL

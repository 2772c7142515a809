"""The steps of `bench/gpu/run.sh`: each in a process of its own, with a time limit; then what came of them."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
import tomllib
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
TOTAL = 530.0  # seconds for everything; a dry run has no other limit
BENCHMARKS = {"cloak_gpu": 110, "population_gpu": 80, "embed_gpu": 140}  # and their limits
BUILD, TESTS = 170, 150
# what the steps import beside the package's own dependencies; the build's are read from pyproject.toml
IMPORTED = ("torch", "onnx", "onnxruntime", "onnxscript", "hypothesis", "pytest")
BUILT_WITH = ("cmake", "ninja")
FIGURES = ("ratio", "ours_s", "reference_s", "reference", "correct")


@dataclass
class Step:
    """One command and what came of it: status is "passed", "failed", "out of time", "not run" or "skipped"."""

    name: str
    command: Sequence[str]
    limit: float
    status: str = "not run"
    seconds: float = 0.0
    figures: dict[str, Any] = field(default_factory=dict)
    result: dict[str, Any] = field(default_factory=dict)


def main() -> int:
    """Run all steps; return 0 where none failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dry-run", action="store_true", help="in small, on the CPU; nothing is built")
    dry = parser.parse_args().dry_run
    out = Path(os.environ.get("OUT") or ROOT / "bench/gpu/out")
    out.mkdir(parents=True, exist_ok=True)
    lacking = missing(dry)
    if lacking:
        print("\n".join(lacking), file=sys.stderr)
        return 2
    machine = about(dry)
    steps = planned(dry, out)
    started = time.monotonic()
    with (out / "log.txt").open("w", encoding="utf-8") as log:
        for step in steps:
            if step.status != "skipped":
                carry_out(step, min(step.limit, TOTAL - (time.monotonic() - started)), log, out)
                if step.name == "tests" and not dry and not step.figures.get("passed"):
                    step.status = "failed"  # all were skipped: the extension sees no device
                print(f"{step.name}: {step.status}, {step.seconds:.0f} s", flush=True)
            write(out, machine, steps)
    print(f"{out / 'summary.md'}")
    return 0 if all(step.status in ("passed", "skipped") for step in steps) else 1


def missing(dry: bool) -> list[str]:
    """Return what keeps the steps from running, each with its cure."""
    from packaging.requirements import Requirement  # pip and build bring it

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extras = project["project"]["optional-dependencies"]
    known = {Requirement(text).name: Requirement(text) for group in ("cpu", "test") for text in extras[group]}
    wanted = [Requirement(text) for text in project["project"]["dependencies"]]
    wanted += [known.get(name, Requirement(name)) for name in IMPORTED]
    if not dry:
        wanted += [Requirement(text) for text in project["build-system"]["requires"]]
    bad = []
    for requirement in wanted:
        try:
            found = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            found = None
        if found is None or not requirement.specifier.contains(found, prereleases=True):
            bad.append(f"{requirement} is needed" + (f", not {found}" if found else ""))
    if bad:
        bad.append("collect them where PyPI is reached with: bench/gpu/run.sh --wheels NAME... (see its head)")
    if not dry:
        tools = {"nvidia-smi": "the driver's", "nvcc": "CUDA's compiler"} | dict.fromkeys(BUILT_WITH, "a build tool")
        bad += [f"{tool} ({what}) is not on the PATH" for tool, what in tools.items() if not shutil.which(tool)]
    return bad


def planned(dry: bool, out: Path) -> list[Step]:
    """Return the steps in their order."""
    build = [
        sys.executable, "-m", "pip", "install", "--no-index", "--no-deps", "--no-build-isolation", "--force-reinstall",
        ".", "-Ccmake.define.FACECURE_CUDA=ON", "-Ccmake.define.CMAKE_CUDA_ARCHITECTURES=native",
    ]  # fmt: skip
    # the files that have such tests: the others would be read in vain
    files = sorted(str(f.relative_to(ROOT)) for f in (ROOT / "tests").rglob("test_*.py") if "mark.gpu" in f.read_text())
    tests = [sys.executable, "-P", "-m", "pytest", "-m", "gpu", "-q", f"--junitxml={out / 'tests.xml'}", *files]
    steps = [
        Step("build", build, BUILD, "skipped" if dry else "not run"),
        Step("tests", tests, TOTAL if dry else TESTS),
    ]
    for name, limit in BENCHMARKS.items():
        call = f"import json, {name}; print(json.dumps({name}.run({dry}, {'cpu' if dry else 'cuda'!r})))"
        steps.append(Step(name, [sys.executable, "-P", "-c", call], TOTAL if dry else limit))
    return steps


def carry_out(step: Step, limit: float, log: Any, out: Path) -> None:
    """Run a step for at most `limit` seconds and note what came of it."""
    if limit <= 0:
        return
    log.write(f"\n===== {step.name}: {' '.join(step.command)}\n")
    log.flush()
    surroundings = os.environ | {"PYTHONUNBUFFERED": "1"}
    if step.name in BENCHMARKS:
        surroundings["PYTHONPATH"] = os.pathsep.join(
            [str(ROOT / "bench"), *filter(None, [os.environ.get("PYTHONPATH")])]
        )
    started = time.monotonic()
    with (out / "printed.txt").open("w+", encoding="utf-8") as printed:
        process = subprocess.Popen(
            step.command, cwd=ROOT, env=surroundings, stdout=printed, stderr=log, start_new_session=True
        )
        try:
            step.status = "failed" if process.wait(limit) else "passed"
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            step.status = "out of time"
        printed.seek(0)
        text = printed.read()
    (out / "printed.txt").unlink()
    step.seconds = round(time.monotonic() - started, 1)
    log.write(text)
    log.flush()
    if step.name == "tests":
        step.figures = counted(step, out / "tests.xml")
    elif step.name in BENCHMARKS and step.status == "passed":
        step.result = json.loads(text.splitlines()[-1])
        step.result["ratio"] = round(step.result["reference_s"] / step.result["ours_s"], 2)
        step.figures = {key: step.result[key] for key in FIGURES}
        if not step.result["correct"]:
            step.status = "failed"


def counted(step: Step, report: Path) -> dict[str, Any]:
    """Return pytest's counts and the names of what failed; the step has failed where something did."""
    if not report.is_file():
        step.status = "failed" if step.status == "passed" else step.status
        return {}
    suite = ElementTree.parse(report).getroot().find("testsuite")
    report.unlink()
    assert suite is not None
    total, failed, skipped = (int(suite.get(key, 0)) for key in ("tests", "failures", "skipped"))
    errors = int(suite.get("errors", 0))
    names = [case.get("name") for case in suite if any(part.tag in ("failure", "error") for part in case)]
    found = {"passed": total - failed - errors - skipped, "failed": failed + errors, "skipped": skipped}
    return found | ({"failing": names} if names else {})


def about(dry: bool) -> dict[str, Any]:
    """Return the card, driver, versions and commit."""

    def said(*command: str) -> str:
        if shutil.which(command[0]) is None:
            return "unknown"
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        return done.stdout.strip().splitlines()[-1] if done.stdout.strip() else "unknown"

    versions = {}
    for package in (*IMPORTED, "numpy", "onnxruntime-gpu", "cupy-cuda13x", "tensorrt", "pybind11"):
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    card = (
        "none: a dry run" if dry else said("nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv")
    )
    return {
        "card, driver, memory": card,
        "nvcc": "not used" if dry else said("nvcc", "--version"),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "versions": versions,
        "commit": said("git", "rev-parse", "HEAD"),
    }


def write(out: Path, machine: dict[str, Any], steps: Sequence[Step]) -> None:
    """Write what is known so far, for people and for machines."""
    lines = ["# facecure on a GPU", ""]
    for key, value in machine.items():
        text = ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else value
        lines.append(f"- {key}: {text}")
    lines += ["", "| step | status | seconds | figures |", "| --- | --- | --- | --- |"]
    for step in steps:
        figures = "; ".join(f"{key} {_short(value)}" for key, value in step.figures.items())
        lines.append(f"| {step.name} | {step.status} | {step.seconds:.0f} | {figures} |")
    lines += ["", "All figures are in results.json, all that was printed in log.txt."]
    (out / "summary.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    found = {"machine": machine, "steps": [asdict(step) for step in steps]}
    (out / "results.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def _short(value: object) -> object:
    return f"{value:.4g}" if isinstance(value, float) else value


if __name__ == "__main__":
    sys.exit(main())

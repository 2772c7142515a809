"""`python bench/run.py NAME [--quick]`: one benchmark, correctness first, then time; ends with one JSON line.

The line has name, ours_s, reference_s, ratio = reference / ours, target and correct; all measured in this run. The full
run also writes bench/results/NAME.json with machine, versions and commit. Where FACECURE_SIMD or another variable holds
the machine to less than it has, the file is NAME.avx2.json or NAME.masked.json. `--quick` stays under a minute.
"""

from __future__ import annotations

import argparse
import importlib
import json
import subprocess
import sys
from pathlib import Path

from facecure.runs.environment import environment

HERE = Path(__file__).parent
BENCHMARKS = (
    "adaptive", "cloak", "cloak_gpu", "cloak_step", "embed", "embed_gpu", "faces", "linear", "population",
    "population_gpu", "verdicts", "zoo",
)  # fmt: skip


def results_file(name: str, masks: dict[str, str]) -> Path:
    """Return where the results of a benchmark belong, given the variables that were set."""
    kind = f".{masks.get('FACECURE_SIMD', 'masked')}" if masks else ""
    return HERE / "results" / f"{name}{kind}.json"


def main() -> int:
    """Run one benchmark and return 0 where its result is correct."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=BENCHMARKS)
    parser.add_argument("--quick", action="store_true", help="under a minute; nothing is written")
    asked = parser.parse_args()
    sys.path[:0] = [str(HERE), str(HERE.parent)]  # benchmarks, and the references that they share with the tests
    result = {"name": asked.name, **importlib.import_module(asked.name).run(asked.quick)}
    result["ratio"] = round(result["reference_s"] / result["ours_s"], 2)
    if not asked.quick:
        commit = subprocess.run(["git", "-C", HERE, "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
        full = result | {"environment": environment(), "checkout": commit.stdout.strip() or "unknown"}
        file = results_file(asked.name, full["environment"]["cpu_masks"])
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps(full, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result))
    return 0 if result["correct"] else 1


if __name__ == "__main__":
    sys.exit(main())

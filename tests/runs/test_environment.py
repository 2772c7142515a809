"""FACECURE_SIMD and other masks: what they change, what is said of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from facecure import _core
from facecure.runs.environment import environment

SETS = ["scalar", "avx2", "avx512"]
HERE = SETS[: SETS.index(_core.build_info()["simd"]) + 1]


def python(code: str, simd: str) -> subprocess.CompletedProcess[str]:
    """Run Python with FACECURE_SIMD in a process of its own: the extension reads it once."""
    given = os.environ | {"FACECURE_SIMD": simd}
    return subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, env=given, check=False)


@pytest.mark.parametrize("simd", ["avx", "AVX2", "scalar,avx2"])
def test_an_unknown_instruction_set_is_an_error_at_import_that_names_the_known_ones(simd):
    done = python("from facecure import _core", simd)
    assert done.returncode == 1
    assert f"ImportError: FACECURE_SIMD={simd} is none of auto, scalar, avx2, avx512" in done.stderr


@pytest.mark.skipif(HERE == SETS, reason="this CPU has every instruction set")
def test_an_instruction_set_that_is_not_there_is_an_error_at_import():
    done = python("from facecure import _core", SETS[len(HERE)])
    assert done.returncode == 1
    assert f"ImportError: FACECURE_SIMD={SETS[len(HERE)]}: this CPU does not support it" in done.stderr


@pytest.mark.parametrize("simd", HERE)
def test_a_mask_limits_the_kernels_and_every_report_says_so(simd):
    code = (
        "import json, numpy as np\n"
        "from facecure import _core, kernels\n"
        "from facecure.runs.environment import environment\n"
        "refused = []\n"
        f"for name in {SETS}:\n"
        "    try:\n"
        "        kernels.warp_faces(np.zeros((2, 2, 3), np.uint8), np.eye(2, 3), (2, 2), simd=name)\n"
        "    except ValueError:\n"
        "        refused.append(name)\n"
        "print(json.dumps([_core.build_info(), environment(), refused]))\n"
    )
    done = python(code, simd)
    assert done.returncode == 0, done.stderr
    build, said, refused = json.loads(done.stdout)
    assert (build["simd"], build["simd_asked"]) == (simd, simd)
    assert said["cpu_simd"].startswith(simd)
    assert said["cpu_simd"].endswith(f"(FACECURE_SIMD={simd})")
    assert said["cpu_masks"]["FACECURE_SIMD"] == simd
    assert refused == SETS[SETS.index(simd) + 1 :]


def test_no_mask_and_auto_are_the_best_that_there_is():
    code = "from facecure import _core; print(_core.build_info()['simd'])"
    best, auto = (python(code, simd).stdout.strip() for simd in ("", "auto"))
    assert best == auto
    assert SETS.index(best) >= len(HERE) - 1


def test_masks_of_libraries_are_said(monkeypatch):
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    monkeypatch.setenv("FACECURE_SIMD", "auto")
    found = environment()["cpu_masks"]
    assert found["ONEDNN_MAX_CPU_ISA"] == "AVX2"
    assert "FACECURE_SIMD" not in found

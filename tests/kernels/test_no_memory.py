"""Without memory for its scratch a kernel raises `MemoryError` and changes nothing; the process lives."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest.importorskip("resource")

MEBI = 1 << 20
STARTED = f"""
import resource, sys
from pathlib import Path
import numpy as np
from facecure.kernels import (
    DssimSource, FawkesPlanes, LowKeyPlanes, dssim_planes, fawkes_step, lowkey_step, warp_faces
)

def limited(spare):
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + spare * {MEBI}, resource.RLIM_INFINITY))

def zeros(*shape):
    return np.zeros(shape, np.float32)

def wide(planes, width):
    return DssimSource(zeros(planes, 11, width), zeros(planes, 1, width - 10), zeros(planes, 1, width - 10), zeros(11))
"""
CASES = {  # a job of so many rows as it has at least, whose scratch is larger than what the limit spares
    "dssim_planes": (100, "source, d = wide(1, 1 << 19), zeros(1, 11, 1 << 19)", "dssim_planes(d, source, threads=2)"),
    "fawkes_step": (
        40,
        "source = wide(3, 1 << 17); planes = FawkesPlanes(*(zeros(3, 11, 1 << 17) for _ in range(6)))",
        "fawkes_step(planes, source, None, 15.0, 1e-7, threads=3)",
    ),
    "lowkey_step": (
        20,
        "pictures, views = zeros(1, 3, 4, 1 << 18), zeros(2, 1, 3, 4, 1 << 18)",
        "lowkey_step(LowKeyPlanes(pictures, views, zeros(7)), None, threads=3)",
    ),
    "warp_faces": (
        150,
        "picture, matrix = np.zeros((1, 1, 3), np.uint8), [[1, 0, 0], [0, 1, 0]]",
        "warp_faces(picture, matrix, (1 << 25, 1), threads=2)",
    ),
}


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, and limits what only Linux enforces")
@pytest.mark.parametrize(("spare", "given", "call"), CASES.values(), ids=CASES)
def test_no_memory_is_a_memory_error(spare, given, call):
    script = f"{STARTED}\n{given}\nlimited({spare})\ntry:\n    {call}\nexcept MemoryError:\n    print('lives')\n"
    ran = subprocess.run([sys.executable, "-P", "-c", script], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (0, "lives\n"), ran.stderr

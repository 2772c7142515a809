"""The CUDA sources themselves, kernels and launches, on a CUDA runtime made of CPU threads: the CPU kernels' bits.

With sanitizers: addresses and undefined behaviour for all, data races for the kernels that share memory.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
CSRC = HERE.parents[1] / "csrc"
OPERATIONS = ("dssim_planes", "fawkes_step", "lowkey_step", "warp_faces")
CPU = [path for name in (*OPERATIONS, "shared") for path in (CSRC / name).glob("*.cpp") if path.stem != "bind"]
CUDA = [path for name in (*OPERATIONS, "shared") for path in (CSRC / name).glob("*.cu*")]
FLAGS = "-DFACECURE_SCALAR_ONLY -std=c++20 -O1 -g1 -ffp-contract=off -w -Wno-psabi -pthread -fno-sanitize-recover=all"
COMPILER = os.environ.get("CXX") or shutil.which("c++")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(COMPILER is None, reason="CUDA sources NOT TESTED: no C++ compiler; set CXX"),
]


def as_cpp(cuda: str) -> str:
    """Return CUDA source as C++ for cuda_runtime.h: launches and memory whose size a launch decides."""
    shared = r"auto* \2 = reinterpret_cast<\1*>(cuda_on_cpu::dynamic.get());"
    cuda = re.sub(r"extern __shared__ ([\w ]+?) (\w+)\[\];", shared, cuda)
    return re.sub(r"(\w+(?:<\w+>)?)<<<(.*?)>>>\(", r"cuda_on_cpu::Launch(\1, \2)(", cuda, flags=re.DOTALL)


def scattered() -> bool:
    """Return whether the kernel lays out memory too randomly for the shadow memory of compilers before 2024."""
    try:
        return int(Path("/proc/sys/vm/mmap_rnd_bits").read_text()) > 28
    except OSError:  # not Linux, or not to be read
        return False


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    """Return a function that builds the program of cuda_on_cpu.cpp with sanitizers, once each."""
    built: dict[str, Path] = {}

    def make(sanitizers: str) -> Path:
        if sanitizers not in built:
            folder = tmp_path_factory.mktemp("cuda_on_cpu")
            for path in CUDA:
                made = folder / path.relative_to(CSRC)
                made.parent.mkdir(exist_ok=True)
                made.write_text(as_cpp(path.read_text(encoding="utf-8")), encoding="utf-8")
            sources = [HERE / "cuda_on_cpu.cpp", *CPU, "-xc++", *folder.glob("*/*.cu")]
            options = [*FLAGS.split(), f"-fsanitize={sanitizers}", f"-I{folder}", f"-I{HERE}", f"-I{CSRC}"]
            program = folder / "cuda_on_cpu"
            done = subprocess.run(
                [COMPILER, *options, *sources, "-o", program], capture_output=True, text=True, check=False
            )
            assert (done.returncode, done.stderr) == (0, "")
            built[sanitizers] = program
        return built[sanitizers]

    return make


@pytest.mark.parametrize(
    ("case", "sanitizers"),
    [
        ("warp_faces", "address,undefined"),
        ("dssim_planes", "address,undefined"),
        ("fawkes_step", "address,undefined"),
        ("lowkey_step", "address,undefined"),
        ("warp_faces", "thread"),
        ("dssim_planes", "thread"),
    ],
)
def test_a_cuda_source_has_the_bits_of_the_cpu_kernel(build, case, sanitizers):
    if sanitizers == "thread" and scattered():
        pytest.skip("data races NOT TESTED: ThreadSanitizer needs vm.mmap_rnd_bits of 28 or less")
    done = subprocess.run([build(sanitizers), case], capture_output=True, text=True, check=False)
    assert re.fullmatch(rf"{case}: [1-9]\d* values compared, 0 differ\n", done.stdout), done.stdout + done.stderr
    assert (done.returncode, done.stderr) == (0, "")

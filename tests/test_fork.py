"""A forked child, to which OpenMP's threads did not come along, computes what its parent does instead of waiting."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest

pytest.importorskip("torch")
pytest.importorskip("faiss")

FORKED = """
    import multiprocessing, os, sys
    import numpy as np
    import torch
    from facecure import kernels
    from facecure import threads
    from facecure.execution import torch_threads
    from facecure.search.faiss import knn

    threads._budget = threads.ThreadBudget(2, 2, "a test")

    def work(_=None):
        rng = np.random.default_rng(0)
        faces = kernels.warp_faces(
            [rng.integers(0, 256, (9, 9, 3), dtype=np.uint8)] * 4, np.tile(np.eye(2, 3), (4, 1, 1)), (8, 8), threads=2
        )
        out = np.empty((4, 3, 8, 8), np.float32)
        kernels.normalise_faces(faces, kernels.Normalise([0] * 3, [1] * 3), out, threads=2)
        rows = out.reshape(4, -1)
        order = np.arange(4)
        near = kernels.segment_nearest(rows, rows, order, np.array([0, 4]), order, order * 0, threads=2)[0]
        with torch_threads(2):
            ones = torch.ones(1 << 18).add(1).sum()
        many = rng.random((2000, 16), dtype=np.float32)
        found = kernels.quantize(rows, threads=2).square.sum(), near.sum(), ones, knn(many, many, 2)[0].sum()
        return tuple(map(float, found))

    if __name__ == "__main__":
        expected = work()  # two threads: they stay here
        child = os.fork()
        if not child:
            os._exit(0 if work() == expected and threads.available_threads() == 1 else 3)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        with multiprocessing.get_context("fork").Pool(2) as pool:
            assert pool.map(work, range(4)) == [expected] * 4
        assert threads.available_threads() == 2
        print("done")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")
def test_forked_children_answer(tmp_path):
    script = tmp_path / "forked.py"
    script.write_text(textwrap.dedent(FORKED))
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout == "done\n", done.stderr

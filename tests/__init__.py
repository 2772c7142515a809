"""Tests, in the rooms of the package.

Run in several processes (`pytest -n auto`), each has its share of the CPUs. OpenMP reads that when it is loaded, so it
is said here, before numpy and torch are.
"""

import os

if "PYTEST_XDIST_WORKER_COUNT" in os.environ:
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cpus // int(os.environ["PYTEST_XDIST_WORKER_COUNT"]))))

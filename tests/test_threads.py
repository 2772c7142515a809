"""The budget is the least of what binds, numbers asked for are bounded, and waiting is short."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from facecure import threads as home
from facecure.errors import InputError
from facecure.kernels import warp_faces
from facecure.threads import available_threads, thread_count, thread_limit

CPUS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
V1 = "4:memory:/m\n3:cpuset:/\n2:cpu,cpuacct:/docker/abc\n1:name=systemd:/\n"


def quota_v1(group, quota):
    return {f"{group}/cpu.cfs_quota_us": f"{quota}\n", f"{group}/cpu.cfs_period_us": "100000\n"}


# /proc/self/cgroup, files below /sys/fs/cgroup, CPUs' worth
TREES = {
    "nothing": (None, {}, None),
    "v2, none set": ("0::/\n", {}, None),
    "v2, max": ("0::/user\n", {"user/cpu.max": "max 100000\n"}, None),
    "v2": ("0::/user\n", {"user/cpu.max": "150000 100000\n"}, 1.5),
    "v2, at the top of a container": ("0::/\n", {"cpu.max": "50000 100000\n"}, 0.5),
    "v2, the parent binds": ("0::/a/b\n", {"a/cpu.max": "200000 100000", "a/b/cpu.max": "400000 100000"}, 2),
    "v2, the child binds": ("0::/a/b\n", {"a/cpu.max": "max 100000", "a/b/cpu.max": "25000 50000"}, 0.5),
    "v2, another group's": ("0::/a\n", {"b/cpu.max": "100000 100000"}, None),
    "v2, outside of what one sees": ("0::/../other\n", {"cpu.max": "100000 100000"}, 1),
    "v2 beside v1": ("1:name=systemd:/\n0::/x\n", {"unified/x/cpu.max": "300000 100000"}, 3),
    "v1": (V1, quota_v1("cpu,cpuacct/docker/abc", 250_000), 2.5),
    "v1, no limit": (V1, quota_v1("cpu,cpuacct/docker/abc", -1), None),
    "v1 in a container": (V1, quota_v1("cpu", 100_000), 1),
    "v1, the other controllers'": (V1, {"memory/m/cpu.max": "100000 100000", "cpuset/cpu.max": "100000 100000"}, None),
    "not a number": ("0::/\n", {"cpu.max": "many\n"}, None),
    "a period of nothing": ("0::/\n", {"cpu.max": "1 0\n"}, None),
}  # fmt: skip


def tree(root, name):
    groups, files, quota = TREES[name]
    if groups is not None:
        (root / "proc/self").mkdir(parents=True)
        (root / "proc/self/cgroup").write_text(groups)
    for file, text in files.items():
        (root / "sys/fs/cgroup" / file).parent.mkdir(parents=True, exist_ok=True)
        (root / "sys/fs/cgroup" / file).write_text(text)
    return quota


@pytest.mark.parametrize("name", TREES)
def test_the_quota_is_that_of_the_groups(name, tmp_path):
    assert tree(tmp_path, name) == home.cgroup_quota(tmp_path)


@pytest.mark.parametrize(
    ("cpus", "name", "omp", "threads", "why"),
    [
        (1, "nothing", None, 1, "1 CPU"),
        (4, "nothing", None, 4, "4 CPUs"),
        (4, "v2", None, 2, "4 CPUs, cgroup quota 1.5"),
        (4, "v2, at the top of a container", None, 1, "4 CPUs, cgroup quota 0.5"),
        (1, "v1", None, 1, "1 CPU, cgroup quota 2.5"),
        (4, "nothing", "1", 1, "4 CPUs, OMP_NUM_THREADS=1"),
        (4, "nothing", "16", 4, "4 CPUs, OMP_NUM_THREADS=16"),
        (4, "nothing", "3,2,1", 3, "4 CPUs, OMP_NUM_THREADS=3"),
        (4, "v2", "1", 1, "4 CPUs, cgroup quota 1.5, OMP_NUM_THREADS=1"),
        *((4, "nothing", odd, 4, "4 CPUs") for odd in ("", "0", "-1", "two", "1.5", "²")),
    ],
)
def test_the_budget_is_the_least_of_what_binds(cpus, name, omp, threads, why, tmp_path, monkeypatch):
    tree(tmp_path, name)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(cpus)), raising=False)
    environment = {} if omp is None else {"OMP_NUM_THREADS": omp}
    assert home.measured_budget(tmp_path, environment) == home.ThreadBudget(threads, cpus, why)


def test_the_budget_of_this_process_is_measured_once(monkeypatch):
    monkeypatch.setattr(home, "_budget", None)
    found = home.thread_budget()
    assert 1 <= found.threads <= found.most == CPUS
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert home.thread_budget() is found


@pytest.mark.parametrize(("asked", "runs"), [(0, 2), (1, 1), (2, 2), (3, 3), (4, 4), (5, 4), (50_000, 4), (10**12, 4)])
def test_who_asks_for_a_number_gets_it_up_to_the_cpus(asked, runs, monkeypatch):
    monkeypatch.setattr(home, "_budget", home.ThreadBudget(2, 4, "a quota"))
    assert thread_count(asked) == runs


def test_fewer_than_none_are_refused():
    with pytest.raises(InputError, match=r"threads is -1; .*0 for all"):
        thread_count(-1)
    with pytest.raises(InputError, match="threads is -2"), thread_limit(-2):
        pass


@pytest.mark.usefixtures("many_cpus")
def test_a_limit_holds_inside_and_for_nobody_else():
    with thread_limit(3):
        assert (available_threads(), thread_count(0), thread_count(5)) == (3, 3, 5)
        with thread_limit(2):
            assert available_threads() == 2
            with thread_limit(0):
                assert available_threads() == 2
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(available_threads).result() == 8
    assert available_threads() == 8


@pytest.mark.parametrize("threads", [50_000, 100_000])
def test_an_absurd_number_ends_no_process(threads):
    picture = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    assert warp_faces([picture] * 3, np.tile(np.eye(2, 3), (3, 1, 1)), (4, 4), threads=threads).shape == (3, 4, 4, 3)


@pytest.mark.parametrize(
    ("given", "spins"),
    [({}, "10000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "active"}, "None")],
)
def test_openmp_is_told_not_to_wait_on_the_spot_unless_somebody_chose(given, spins):
    own = {name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    script = "import facecure, os; print(os.environ.get('GOMP_SPINCOUNT'))"
    done = subprocess.run(
        [sys.executable, "-P", "-c", script], env=own | given, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == spins

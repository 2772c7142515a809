"""One budget of threads for kernels, runtimes and decoding: how many "all" are, and how many at most."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from math import ceil
from pathlib import Path

from facecure.errors import InputError


@dataclass(frozen=True, slots=True)
class ThreadBudget:
    """`threads` run where nobody asks for a number, `most` where somebody asks for more; `why` says what set them."""

    threads: int
    most: int
    why: str


def thread_budget() -> ThreadBudget:
    """Return this process's budget, measured once; one thread in a forked child.

    The threads of OpenMP, and with them those of torch, stay with the parent: a child that counts on them waits for
    ever. A spawned process has its own.
    """
    global _budget
    if _budget is None:
        _budget = measured_budget()
    return _budget


def measured_budget(root: Path = Path("/"), environment: Mapping[str, str] = os.environ) -> ThreadBudget:
    """Return the budget by CPUs, the cgroup quota of the files below `root`, and OMP_NUM_THREADS: the least of them.

    A quota is rounded up: what is too much for it waits, what is too little is lost. A number that somebody asks for is
    bounded by the CPUs alone.
    """
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limits, why = [cpus], [f"{cpus} CPU{'s' if cpus > 1 else ''}"]
    quota = cgroup_quota(root)
    if quota is not None:
        limits.append(max(1, ceil(quota)))
        why.append(f"cgroup quota {quota:g}")
    asked = environment.get("OMP_NUM_THREADS", "").partition(",")[0].strip()  # further ones are for nested regions
    if asked.isdecimal() and int(asked):  # OpenMP ignores what is no number, too
        limits.append(int(asked))
        why.append(f"OMP_NUM_THREADS={asked}")
    return ThreadBudget(min(limits), cpus, ", ".join(why))


def cgroup_quota(root: Path = Path("/")) -> float | None:
    """Return the CPUs' worth of time that the control groups of this process may use, v1 or v2; None without a limit.

    A group is bounded by those above it. In a container whose groups have other names inside than outside, its own
    limit lies at the top.
    """
    found = []
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        for name in (controllers, "cpu" if controllers else "unified"):  # v1; v2, or beside v1
            top = root / "sys/fs/cgroup" / name
            group = top / path.strip("/")
            found += [_quota(folder) for folder in (group, *group.parents) if folder.is_relative_to(top)]
    return min((quota for quota in found if quota is not None), default=None)


def _quota(folder: Path) -> float | None:
    """Return a group's own limit: microseconds of CPU time per microseconds."""
    both = _text(folder / "cpu.max") or _text(folder / "cpu.cfs_quota_us") + _text(folder / "cpu.cfs_period_us")
    numbers = re.fullmatch(r"\s*(\d+)\s+(\d+)\s*", both)  # "max" or −1 is no limit
    return int(numbers[1]) / int(numbers[2]) if numbers and int(numbers[2]) else None


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""


def available_threads() -> int:
    """Return the number of threads that "all" are here: the budget's, or what `thread_limit` says."""
    return _limit.get() or thread_budget().threads


def thread_count(asked: int) -> int:
    """Return how many threads run where `asked` are asked for: 0 = all, never more than CPUs.

    Raises `InputError` for a negative number.
    """
    if asked < 0:
        raise InputError(f"threads is {asked}; name a number of CPU threads, or 0 for all")
    return min(asked, thread_budget().most) or available_threads()


@contextmanager
def thread_limit(threads: int) -> Iterator[None]:
    """Inside, "all" threads of whatever takes no number of its own are `threads`; 0 changes nothing."""
    token = _limit.set(thread_count(threads))
    try:
        yield
    finally:
        _limit.reset(token)


def _in_forked_child() -> None:
    global _budget
    _budget = ThreadBudget(1, 1, "a forked process: OpenMP's threads stayed with the parent")
    _limit.set(0)


_budget: ThreadBudget | None = None
_limit: ContextVar[int] = ContextVar("threads", default=0)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_forked_child)

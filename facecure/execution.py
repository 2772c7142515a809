"""How a question is computed: what executes extractors, in which precision, where, on how many threads, who is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, get_args

from facecure.errors import InputError, MissingDependency
from facecure.threads import thread_count

if TYPE_CHECKING:
    import torch

Precision = Literal["fp32", "bf16", "fp16", "int8"]
Progress = Callable[[str, int, int], None]  # stage, done, total


def silent(stage: str, done: int, total: int) -> None:
    """Tell nobody how far the work is."""


@dataclass(frozen=True, slots=True)
class Execution:
    """How work is carried out; it travels beside the data and, but for `runtime` and `precision`, changes speed alone.

    `runtime` is what executes extractors, None for what their weights need by themselves, "auto" for the fastest one
    that is certified. `device` is "cpu" or torch's name of another one, such as "cuda:1". `threads` 0 stands for all
    that are available. `batch` is the number of faces or pictures at a time, None for what suits. `progress` is told
    the stage, and how much of it is done. Raises `InputError` for what is not a number of threads, a batch or a
    precision; whether a runtime or device is there, only what uses it can say.
    """

    runtime: str | None = None
    precision: Precision = "fp32"
    device: str = "cpu"
    threads: int = 0
    batch: int | None = None
    progress: Progress = field(default=silent, compare=False, repr=False)

    def __post_init__(self) -> None:
        if self.precision not in get_args(Precision):
            raise InputError(f"precision is one of {', '.join(get_args(Precision))}, not {self.precision!r}")
        if self.runtime == "auto" and self.precision != "fp32":
            raise InputError("runtime auto chooses the precision too; name a runtime, or leave the precision out")
        if self.batch is not None and self.batch < 1:
            raise InputError(f"batch is a number of faces, 1 or more, not {self.batch}")
        thread_count(self.threads)

    @property
    def kind(self) -> str:
        """Return the kind of device: "cpu" or "cuda"."""
        return self.device.partition(":")[0]


def torch_device(name: str) -> torch.device:
    """Return the torch device of that name; raises `MissingDependency` or `InputError` where it cannot be used."""
    try:
        import torch
    except ImportError as error:
        raise MissingDependency("torch", "cpu") from error
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:  # builds without CUDA raise the latter
        raise InputError(f"device {name!r} cannot be used: {str(error).splitlines()[0]}") from error


@contextmanager
def torch_threads(count: int = 0) -> Iterator[None]:
    """Run torch on `thread_count(count)` threads inside; outside the process keeps its own setting."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(thread_count(count))
    try:
        yield
    finally:
        torch.set_num_threads(before)

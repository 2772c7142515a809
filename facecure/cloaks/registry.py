"""Cloaks by name: `fawkes-v1.0:high`, `lowkey`, `mix:fawkes-v1.0:high=1,fawkes-v0.3:high=1`; imports no torch.

To add one: a file with a class derived from `cloak.Cloak`, and a line in `CLOAKS`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from facecure.errors import InputError, MissingDependency
from facecure.registry import class_of

if TYPE_CHECKING:
    from facecure.cloaks.cloak import Cloak


CLOAKS = {
    "fawkes-v0.3": "facecure.cloaks.fawkes_v03:FawkesV03",
    "fawkes-v1.0": "facecure.cloaks.fawkes_v10:FawkesV10",
    "lowkey": "facecure.cloaks.lowkey:LowKey",
    "lowkey-4": "facecure.cloaks.lowkey:LowKey4",
    "lowkey-warp": "facecure.cloaks.lowkey:LowKeyWarp",
    "lowkey-4-warp": "facecure.cloaks.lowkey:LowKey4Warp",
}
# what pictures of the original tools were made against, by the names of the zoo (docs/protocol.md §4-6)
_ORIGINALS = {
    "fawkes-v0.3": ("fawkes-high",),
    "fawkes-v1.0": ("fawkes-extractor-0", "fawkes-extractor-2"),
    "lowkey": ("lowkey-ir152-arcface", "lowkey-ir152-cosface", "lowkey-resnet152-arcface", "lowkey-resnet152-cosface"),
}


@dataclass(frozen=True, slots=True)
class Part:
    """A cloak by name and mode ("" where it has none), and the share of the pictures that it cloaks, 0…1."""

    name: str
    mode: str
    share: float = 1.0

    def __str__(self) -> str:
        return f"{self.name}:{self.mode}" if self.mode else self.name

    @property
    def cloak(self) -> type[Cloak[Any]]:
        """Return the cloak's class."""
        return cloak_class(self.name)

    @property
    def suffix(self) -> str:
        """Return what the original tool appends to a picture's stem."""
        return self.cloak.suffix(self.mode)


def cloak_class(name: str) -> type[Cloak[Any]]:
    """Return the class of a name; raises `InputError` for an unknown one, `MissingDependency` without torch."""
    try:
        cloak: type[Cloak[Any]] = class_of(CLOAKS, name, "cloak")
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise MissingDependency("torch", "cpu") from error
    return cloak


def parse(text: str) -> tuple[Part, ...]:
    """Return the cloaks that a name stands for, shares summing to 1; raises `InputError` for an unknown one."""
    if not text.startswith("mix:"):
        return (_part(text, 1.0),)
    parts = [part.rpartition("=") for part in text.removeprefix("mix:").split(",")]
    try:
        shares = [float(share) for _, _, share in parts]
    except ValueError:
        shares = []
    if len(shares) < 2 or not min(shares) > 0:
        raise InputError(
            f"a mix names two or more cloaks and their shares, such as mix:fawkes-v1.0:high=0.5,fawkes-v0.3:high=0.5, "
            f"not {text!r}"
        )
    return tuple(_part(name, share / sum(shares)) for (name, _, _), share in zip(parts, shares, strict=True))


def _part(text: str, share: float) -> Part:
    name, _, mode = text.partition(":")
    modes = cloak_class(name).modes
    if (mode or modes) and mode not in modes:
        known = f"known are {name}:{{{', '.join(modes)}}}" if modes else f"{name} has no modes"
        raise InputError(f"unknown cloak {text!r}; {known}")
    return Part(name, mode, share)


def made_against(label: str) -> tuple[str, ...] | None:
    """Return the extractors, by the names of the zoo, against which pictures of an original tool were made.

    `label` starts with the tool's name; None where it starts with another one.
    """
    return next((extractors for name, extractors in _ORIGINALS.items() if label.startswith(name)), None)

"""Cloaks by name: `fawkes-v1.0:high`, `fawkes-v0.3:low`, `lowkey`, `mix:fawkes-v1.0:high=1,fawkes-v0.3:high=1`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from facecure.cloaks import fawkes_v03, fawkes_v10
from facecure.cloaks.fawkes_v03 import FawkesV03
from facecure.cloaks.fawkes_v10 import FawkesV10
from facecure.cloaks.loop import Cloak
from facecure.cloaks.lowkey import LowKey
from facecure.cloaks.lpips import Lpips
from facecure.cloaks.surrogate import Surrogate
from facecure.errors import InputError
from facecure.types import ProtocolName

_MODES: dict[str, Sequence[str]] = {
    "fawkes-v0.3": tuple(fawkes_v03.MODES),
    "fawkes-v1.0": tuple(fawkes_v10.MODES),
    "lowkey": (),
    "lowkey-4": (),
    "lowkey-warp": (),
    "lowkey-4-warp": (),
}
NAMES = (*(f"{name}:{mode}" for name, modes in _MODES.items() for mode in modes), *(n for n in _MODES if not _MODES[n]))


@dataclass(frozen=True, slots=True)
class Choice:
    """A cloak by name, its mode ("" where it has none) and its share of the pictures, 0…1."""

    name: str
    mode: str
    share: float = 1.0

    def __str__(self) -> str:
        return f"{self.name}:{self.mode}" if self.mode else self.name

    @property
    def suffix(self) -> str:
        """Return what the original tool appends to a picture's stem."""
        if self.name == "fawkes-v0.3" or (self.name == "fawkes-v1.0" and "2021-04" in self.mode):
            return f"_{self.mode.split('-')[0]}_cloaked"
        return "_cloaked" if self.name == "fawkes-v1.0" else "_attacked"


@dataclass(frozen=True, slots=True)
class Options:
    """What a cloak may be told besides its name: Fawkes' `penalty` (None: the tool's own), LowKey's `lpips`.

    `reference_batch` reproduces how the released code couples the pictures of a batch (Q5, Q15).
    """

    protocol: ProtocolName = "corrected"
    penalty: float | None = None
    reference_batch: int | None = None
    lpips: Lpips | None = None


def parse(text: str) -> tuple[Choice, ...]:
    """Return the cloaks that a name stands for, shares summing to 1; raises `InputError` for an unknown one."""
    if not text.startswith("mix:"):
        return (_choice(text, 1.0),)
    parts = [part.rpartition("=") for part in text.removeprefix("mix:").split(",")]
    try:
        shares = [float(share) for _, _, share in parts]
    except ValueError:
        shares = []
    if len(shares) < 2 or min(shares) <= 0:
        raise InputError(
            f"a mix names two or more cloaks and their shares, such as mix:fawkes-v1.0:high=0.5,fawkes-v0.3:high=0.5, "
            f"not {text!r}"
        )
    return tuple(_choice(name, share / sum(shares)) for (name, _, _), share in zip(parts, shares, strict=True))


def _choice(text: str, share: float) -> Choice:
    name, _, mode = text.partition(":")
    if name not in _MODES or (mode and mode not in _MODES[name]) or (_MODES[name] and not mode):
        close = get_close_matches(text, NAMES, 1, 0.4) if name not in _MODES else []
        wanted = f"{name}:{{{', '.join(_MODES[name])}}}" if _MODES.get(name) else ", ".join(NAMES)
        hint = f"did you mean {close[0]!r}?" if close else f"known: {wanted}"
        raise InputError(f"unknown cloak {text!r}; {hint}")
    return Choice(name, mode, share)


def make(choice: Choice, surrogates: Sequence[Surrogate], options: Options) -> Cloak[Any]:
    """Return the cloak of a name, against these surrogates."""
    if not surrogates:
        raise InputError("a cloak is made against extractors: name at least one surrogate")
    penalty = {} if options.penalty is None else {"penalty": options.penalty}
    if choice.name == "fawkes-v1.0":
        return FawkesV10(surrogates, fawkes_v10.MODES[choice.mode], options.protocol, **penalty)
    if choice.name == "fawkes-v0.3":
        mode, batch = fawkes_v03.MODES[choice.mode], options.reference_batch
        return FawkesV03(surrogates, mode, options.protocol, reference_batch=batch, **penalty)
    return LowKey(
        surrogates,
        options.protocol,
        lpips=options.lpips,
        distinct="-4" in choice.name,
        warp="-warp" in choice.name,
        first_only=options.reference_batch is not None,
    )

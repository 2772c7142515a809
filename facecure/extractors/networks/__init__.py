"""Architectures in torch, by the name that a spec's `architecture` gives; imported when one is built."""

from __future__ import annotations

from difflib import get_close_matches
from importlib import import_module
from typing import TYPE_CHECKING, Any

from facecure.errors import InputError

if TYPE_CHECKING:
    from torch import nn

ARCHITECTURES = {
    "mobilefacenet-prelu": "mobilefacenet:MobileFaceNetPReLU",
    "mobilefacenet-relu6": "mobilefacenet:MobileFaceNetReLU6",
    "tiny-mixer": "tiny:Mixer",
    "tiny-mobile": "tiny:Mobile",
    "tiny-plain": "tiny:Plain",
}


def build_network(architecture: str) -> nn.Module:
    """Return a network without its weights; raises `InputError` for an unknown name."""
    if architecture not in ARCHITECTURES:
        close = get_close_matches(architecture, ARCHITECTURES, 1)
        hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(ARCHITECTURES)}"
        raise InputError(f"unknown architecture {architecture!r}; {hint}")
    module, name = ARCHITECTURES[architecture].split(":")
    network: Any = getattr(import_module(f"{__name__}.{module}"), name)
    return network()  # type: ignore[no-any-return]

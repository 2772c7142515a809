"""What all networks share: names as official files have them, and loading whole or not at all."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import ClassVar

import torch
from torch import Tensor, nn

from facecure.errors import InputError

_NAMED = 4  # tensors that a complaint lists of each kind


class Network(nn.Module):
    """A network whose parameters can be told apart in an official file."""

    # one of its parameters: what precedes this name in a file (`features.module.`, …) precedes all of the network's
    anchor: ClassVar[str] = ""
    # pattern of what official files hold besides, such as the training's classifier, under its full name there
    beyond: ClassVar[str] = "(?!)"

    def official(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return a file's tensors under this network's names, without what `beyond` describes.

        Whatever else is in the file stays under its own name, so that loading complains about it.
        """
        own, prefix = self.state_dict().keys(), self._prefix(tensors)
        found = {}
        for key, value in tensors.items():
            name = key.removeprefix(prefix)
            if key.startswith(prefix) and name in own:
                found[name] = value
            elif not re.fullmatch(self.beyond, key):
                found[key] = value
        return found

    def _prefix(self, tensors: dict[str, Tensor]) -> str:
        if not self.anchor:  # of DataParallel
            return "module." if all(key.startswith("module.") for key in tensors) else ""
        prefixes = [key.removesuffix(self.anchor) for key in tensors if key.endswith(self.anchor)]
        return min((prefix for prefix in prefixes if prefix == "" or prefix.endswith(".")), key=len, default="")


def load(network: Network, tensors: dict[str, Tensor]) -> int:
    """Return how many tensors were loaded: all of the network's, all of the file's, or none.

    Raises `InputError` naming what is missing, left over, of another shape, not finite, or a variance below zero.
    """
    found, complaint = _fitted(network, tensors)
    if complaint:
        raise InputError(complaint)
    network.load_state_dict(found, strict=True)
    return len(found) - len(_counters(network))


def load_one(network: Network, states: dict[str, dict[str, Tensor]], key: str | None = None) -> int:
    """Return how many tensors were loaded of the state dict under `key`, or else of the only one that fits.

    Raises `InputError` where none or several fit, naming them; otherwise as `load`.
    """
    if key is not None:
        if key not in states:
            raise InputError(f"it has no state dict {key!r} but {_keys(states)}")
        return load(network, states[key])
    if len(states) == 1:
        return load(network, *states.values())
    complaints = {name: _fitted(network, tensors)[1] for name, tensors in states.items()}
    fitting = [name for name, complaint in complaints.items() if not complaint]
    if len(fitting) == 1:
        return load(network, states[fitting[0]])
    if fitting:
        raise InputError(f'{_keys(fitting)} fit: name one in the spec with state = "{fitting[-1]}"')
    reasons = "\n".join(f"  {name or 'the file itself'}: {complaint}" for name, complaint in complaints.items())
    raise InputError(f"it holds {len(states)} state dicts, of which none fits:\n{reasons}")


def _fitted(network: Network, tensors: dict[str, Tensor]) -> tuple[dict[str, Tensor], str]:
    """Return the tensors under the network's names, and what is wrong with them, "" where nothing is."""
    found, own, counters = network.official(tensors), network.state_dict(), _counters(network)
    found |= {key: own[key] for key in counters - found.keys()}
    shapes = {key: (tuple(found[key].shape), tuple(own[key].shape)) for key in own.keys() & found.keys()}
    other = [f"{key} {there} instead of {here}" for key, (there, here) in shapes.items() if there != here]
    broken = [key for key, value in found.items() if value.is_floating_point() and not torch.isfinite(value).all()]
    negative = [key for key, value in found.items() if key.endswith("running_var") and bool((value < 0).any())]
    complaints = {
        "missing": sorted(own.keys() - found.keys()),
        "left over": sorted(found.keys() - own.keys()),
        "of another shape": sorted(other),
        "not finite": sorted(broken),
        "with a variance below zero": sorted(negative),
    }
    if not any(complaints.values()):
        return found, ""
    fitting = len(shapes) - len(other) - len(counters)
    kinds = [f"{len(names)} {kind} ({_some(names)})" for kind, names in complaints.items() if names]
    return found, f"{fitting} of {len(own) - len(counters)} tensors fit; {'; '.join(kinds)}"


def _counters(network: Network) -> set[str]:
    """Return the counters that only training reads, and files from before PyTorch 0.4.1 do not have."""
    return {key for key in network.state_dict() if key.endswith(".num_batches_tracked")}


def _keys(names: Iterable[str]) -> str:
    return ", ".join(repr(name) if name else "the file itself ('')" for name in names)


def _some(names: list[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f", {more} more" if more > 0 else "")

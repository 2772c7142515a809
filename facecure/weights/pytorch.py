"""PyTorch's own files: state dicts, alone or somewhere in a checkpoint."""

from __future__ import annotations

import io
import pickle
import re
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from facecure.errors import InputError

# Said where a pickle holds more than tensors, which torch's restricted unpickler refuses.
_RECIPE = """opening it would run code from the file, which is refused. If you trust its source, take the tensors out \
where nothing can be harmed (a container without network, --network none) and use the result instead:
  python -c "import torch; found = torch.load('FILE', map_location='cpu', weights_only=False); \
found = found.state_dict() if hasattr(found, 'state_dict') else found; found = found.get('state_dict', found); \
torch.save({k: v for k, v in found.items() if torch.is_tensor(v)}, 'FILE.tensors.pt')\""""


def read_pytorch(data: bytes) -> dict[str, Tensor]:
    """Return the tensors of a state dict, or of a checkpoint with exactly one inside, on the CPU.

    Raises `InputError` for anything else; a pickle that needs more than tensors is refused with a recipe.
    """
    states = read_states(data)
    if len(states) != 1:
        raise InputError(f"it holds {len(states)} state dicts, not one: {', '.join(states)}")
    return next(iter(states.values()))


def read_states(data: bytes) -> dict[str, dict[str, Tensor]]:
    """Return every state dict of a file by the keys that lead to it, joined by dots, on the CPU; "" is the file itself.

    A state dict is a dict with tensors under names; what else stands beside them (an epoch) is left out. Raises
    `InputError` where there is none, and as `read_pytorch` does.
    """
    if not data.startswith((b"PK", b"\x80")):
        raise InputError("it is not a PyTorch file: neither a zip archive nor a pickle")
    try:
        loaded = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise InputError(f"{_RECIPE}\ntorch says: {_reason(error)}") from error
    except Exception as error:  # whatever damaged bytes lead the unpickler to
        raise InputError(f"it is not a PyTorch file, or a damaged one: {error}") from error
    states = dict(_states(loaded, ()))
    if not states:
        raise InputError(f"it holds no state dict, but {_content(loaded)}")
    return states


def _states(value: Any, path: tuple[str, ...]) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Yield the state dicts in and below a value; an optimiser's are told apart by their numbers for names."""
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        return
    tensors = {key: one for key, one in value.items() if isinstance(one, Tensor)}
    if tensors:
        yield ".".join(path), tensors
    for key, one in value.items():
        yield from _states(one, (*path, key))


def _content(value: Any) -> str:
    if isinstance(value, dict):
        return f"a dict with the keys {', '.join(map(str, value))}" if value else "an empty dict"
    return f"a {type(value).__name__}"


def _reason(error: Exception) -> str:
    """Return what torch's unpickler stumbled over, without the ways round it that torch recommends."""
    said = re.sub(r"\x1b\[[0-9;]*m", "", str(error))  # it writes for terminals
    _, _, inner = said.rpartition("WeightsUnpickler error: ")
    return re.split(r"(?<=[.!]) |\n", inner.strip(), maxsplit=1)[0]

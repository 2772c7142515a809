"""PyTorch's own files: a state dict, or a checkpoint with exactly one inside."""

from __future__ import annotations

import io
import pickle
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
    if not data.startswith((b"PK", b"\x80")):
        raise InputError("it is no PyTorch file: neither a zip archive nor a pickle")
    try:
        loaded = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        first = str(error).strip().splitlines()[0]
        raise InputError(f"{_RECIPE}\ntorch says: {first}") from error
    except Exception as error:  # whatever damaged bytes lead the unpickler to
        raise InputError(f"it is no PyTorch file, or a damaged one: {error}") from error
    if _is_state(loaded):
        return dict(loaded)
    inside = [value for value in loaded.values() if _is_state(value)] if isinstance(loaded, dict) else []
    if len(inside) != 1:
        raise InputError(f"it holds {len(inside)} state dicts, not one")
    return dict(inside[0])


def _is_state(value: Any) -> bool:
    return isinstance(value, dict) and bool(value) and all(isinstance(v, Tensor) for v in value.values())

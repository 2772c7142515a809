"""Keras' HDF5 files (Keras 1 and 2, tf_keras): weights alone, or a whole model with its architecture."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import torch

from facecure.errors import InputError, MissingDependency
from facecure.weights import Weights


def read_keras(data: bytes) -> Weights:
    """Return the tensors in the file's order as `layer:weight`, in Keras' own axes, and the model's config if any.

    A nested model is one layer there, its weights `layer:inner/weight`. Raises `InputError` for a damaged file,
    `MissingDependency` without h5py.
    """
    try:
        import h5py
    except ImportError as error:
        raise MissingDependency("h5py", "convert") from error
    try:
        with h5py.File(io.BytesIO(data), "r") as file:
            config = file.attrs.get("model_config")
            root = file.get("model_weights", file)
            tensors = {}
            for layer in _names(root, "layer_names"):
                for name in _names(root[layer], "weight_names"):
                    values = np.asarray(root[layer][name])
                    key = f"{layer}:{name.removeprefix(f'{layer}/').split(':')[0]}"
                    if key in tensors:
                        raise InputError(f"it names the weight {key} twice")
                    tensors[key] = torch.from_numpy(np.array(values, order="C"))
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise InputError(f"it is no Keras file, or a damaged one: {error}") from error
    return Weights(tensors, None if config is None else json.loads(config))


def _names(group: Any, attribute: str) -> list[str]:
    """Return a list of names; Keras spreads long ones over `attribute0`, `attribute1`, …"""
    if attribute in group.attrs:
        found = list(group.attrs[attribute])
    else:
        found, part = [], 0
        while f"{attribute}{part}" in group.attrs:
            found += list(group.attrs[f"{attribute}{part}"])
            part += 1
        if not part:
            raise KeyError(attribute)
    return [name.decode() if isinstance(name, bytes) else str(name) for name in found]

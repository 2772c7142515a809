"""Whether a file is what its entry says, before it is trusted under its name."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np

from facecure.errors import MissingDependency
from facecure.extractors.runtimes import open_extractor
from facecure.types import Faces
from facecure.zoo.catalogue import ZooEntry


def require(entry: ZooEntry) -> None:
    """Raise `MissingDependency`, before anything is fetched, unless an entry's files can be opened here."""
    if entry.kind == "extractor" and find_spec("torch" if entry.architecture else "onnxruntime") is None:
        raise MissingDependency("torch" if entry.architecture else "onnxruntime", "cpu")
    if any(file.name.endswith(".h5") for file in entry.files) and find_spec("h5py") is None:
        raise MissingDependency("h5py", "convert")


def embedding_size(entry: ZooEntry, weights: Path) -> int:
    """Return how many values an extractor's embedding has, by running its network once.

    Raises `InputError` where the file does not hold the entry's weights, or embeds to another size than it says.
    """
    spec = entry.spec(weights, None, entry.embedding_size or 1)
    width, height = spec.geometry.width, spec.geometry.height
    if entry.embedding_size is not None:
        grey = Faces(np.full((1, height, width, 3), 128, np.uint8), spec.geometry)
        return int(open_extractor(spec).embed(grey).vectors.shape[1])
    import torch

    from facecure.extractors.runtimes.torch import load_network

    network, _ = load_network(spec)
    with torch.inference_mode():
        return int(network(torch.zeros(1, 3, height, width)).flatten(1).shape[1])

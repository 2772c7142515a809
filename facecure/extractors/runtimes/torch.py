"""torch: networks whose gradients a cloak needs, and their embeddings."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from facecure.errors import InputError, MissingDependency
from facecure.extractors.networks import build_network
from facecure.extractors.runtimes.fixed_batch import FixedBatchExtractor
from facecure.extractors.spec import ExtractorSpec, Precision
from facecure.types import F32

if TYPE_CHECKING:
    from torch import nn


def load_network(spec: ExtractorSpec) -> tuple[nn.Module, str]:
    """Return the spec's network in evaluation mode with all its weights, and their file's SHA-256.

    Raises `InputError` where a tensor is missing, left over, of another shape or not finite: a network is loaded whole
    or not at all.
    """
    try:
        import torch  # noqa: F401
    except ImportError as error:
        raise MissingDependency("torch", "cpu") from error
    from facecure.extractors.networks.network import load
    from facecure.weights import read_weights

    if spec.architecture is None:
        raise InputError(
            f"extractor {spec.name}: gradients need torch weights; name a torch file as weights and its network with "
            "architecture"
        )
    data, sha256 = spec.hashed_weights()
    try:
        weights = read_weights(data)
        network = build_network(spec.architecture, weights.config)
        load(network, weights.tensors)
    except InputError as error:
        raise InputError(f"extractor {spec.name}: {spec.weights} is no {spec.architecture}: {error}") from error
    return network.eval().requires_grad_(False), sha256


def state_sha256(network: nn.Module) -> str:
    """Return the SHA-256 of a network's parameters and buffers, names included: what stands in for a file's."""
    found = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        found.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        found.update(value.detach().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Run torch on `count` threads inside; outside the process keeps its own setting."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class TorchExtractor(FixedBatchExtractor):
    """An extractor executed by torch on the CPU; bf16 is autocast, which keeps float32 where torch says it matters."""

    def __init__(self, spec: ExtractorSpec, *, precision: Precision = "fp32", threads: int = 0, batch: int = 8) -> None:
        if spec.layout != "NCHW":
            raise InputError(f"extractor {spec.name}: torch networks take NCHW, not {spec.layout}")
        network, sha256 = load_network(spec)
        import torch

        from facecure.extractors.networks.folding import fold_batch_norms

        # rounding alone differs: a pass over memory less per norm, and the layout that the CPU's kernels prefer
        self._network = fold_batch_norms(network).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.batch = batch
        super().__init__(spec, sha256, threads, precision)

    def _runtime(self) -> dict[str, Any]:
        import torch

        return {"runtime": f"torch {torch.__version__}", "device": "cpu"}

    def _forward(self, block: F32) -> F32:
        import torch

        lower = torch.autocast("cpu", torch.bfloat16, enabled=self.precision == "bf16")
        with torch_threads(self.threads), torch.inference_mode(), lower:
            faces = torch.from_numpy(block).to(memory_format=torch.channels_last)
            return np.asarray(self._network(faces).float().numpy())

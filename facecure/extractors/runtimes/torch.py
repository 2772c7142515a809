"""torch: networks whose gradients a cloak needs, and their embeddings."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from facecure.errors import InputError, MissingDependency
from facecure.execution import Execution, Precision, torch_device, torch_threads
from facecure.extractors.graph import Graph, sides
from facecure.extractors.networks import build_network
from facecure.extractors.runtimes.cuda_pass import CudaPass
from facecure.extractors.runtimes.fixed_batch import BATCH, FixedBatchExtractor
from facecure.extractors.spec import ExtractorSpec
from facecure.kernels.device import full_float32
from facecure.types import F32

if TYPE_CHECKING:
    from torch import Tensor, nn


def load_network(spec: ExtractorSpec) -> tuple[nn.Module, str]:
    """Return the spec's network in evaluation mode with all its weights, and their file's SHA-256.

    Raises `InputError` where a tensor is missing, left over, of another shape or not finite: a network is loaded whole
    or not at all.
    """
    try:
        import torch  # noqa: F401
    except ImportError as error:
        raise MissingDependency("torch", "cpu") from error
    from facecure.extractors.networks.network import load_one
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
        load_one(network, weights.states, spec.state)
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


class TorchExtractor(FixedBatchExtractor):
    """An extractor executed by torch; lower precisions are autocast, which keeps float32 where torch says it matters.

    On a GPU each pass is one replay of a CUDA graph, and two are under way at once.
    """

    precisions = ("fp32", "bf16", "fp16")
    devices = ("cpu", "cuda")

    @classmethod
    def graph_precision(cls, precision: Precision) -> None:
        """Return None: torch executes the network itself."""

    def __init__(self, spec: ExtractorSpec, execution: Execution = Execution(), *, graph: Graph | None = None) -> None:
        if spec.layout != "NCHW":
            raise InputError(f"extractor {spec.name}: torch networks take NCHW, not {spec.layout}")
        network, sha256 = load_network(spec)
        import torch

        from facecure.extractors.networks.folding import fold_batch_norms

        self._device = torch_device(execution.device)
        # rounding alone differs: a pass over memory less per norm, and the layout that the kernels prefer
        self._network = fold_batch_norms(network).to(self._device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        super().__init__(spec, sha256, execution)
        self.batch = execution.batch or BATCH[self._device.type]
        self._passes_there: list[CudaPass] = []
        if self._device.type == "cuda":
            self.depth = 2
            shape = (self.batch, *sides(spec))
            self._passes_there = [CudaPass(self._compute, shape, self._device) for _ in range(self.depth)]

    @cached_property
    def _blocks(self) -> list[F32]:
        return [one.block for one in self._passes_there] or super()._blocks

    def _runtime(self) -> dict[str, Any]:
        import torch

        name = "cpu" if self._device.type == "cpu" else torch.cuda.get_device_name(self._device)
        return {"runtime": f"torch {torch.__version__}", "device": name}

    def _start(self, number: int) -> Callable[[], F32]:
        return self._passes_there[number].start() if self._passes_there else super()._start(number)

    def _forward(self, block: F32) -> F32:
        import torch

        with torch_threads(self.threads):
            return np.asarray(self._compute(torch.from_numpy(block)).numpy())

    def _compute(self, faces: Tensor) -> Tensor:
        """Return raw embeddings, float32, of normalised faces on the same device."""
        import torch

        kind = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[self.precision]
        # what autocast keeps of cast weights would lie outside of a captured graph
        lower = torch.autocast(faces.device.type, kind, enabled=kind != torch.float32, cache_enabled=False)
        with torch.inference_mode(), lower, full_float32():
            return self._network(faces.contiguous(memory_format=torch.channels_last)).float()  # type: ignore[no-any-return]

"""The extractors that a cloak is made against: a torch network behind the way a picture reaches it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from facecure.errors import InputError
from facecure.execution import Execution
from facecure.extractors.networks.folding import fold_batch_norms
from facecure.extractors.runtimes.torch import load_network, state_sha256
from facecure.extractors.spec import ExtractorSpec
from facecure.kernels import View
from facecure.kernels.device import full_float32
from facecure.types import F64, FaceGeometry

ROWS = {"cpu": 4, "cuda": 16}  # pictures of a pass unless told: a GPU takes `facecure cloak`'s batch in one
_LARGE = 1 << 18  # pixels beyond which a picture, a whole photo, goes alone: copies of it would only fill a pass
Distance = Callable[[Tensor, Tensor], Tensor]  # embeddings (N, D), references (N, D) -> (N,)


@dataclass(frozen=True, slots=True)
class Preprocess:
    """How a network takes pictures: cut by `geometry`, None for any size, then (x − mean) / std.

    `mean` and `std` are those of the planes in `colour` order, on 0…255.
    """

    geometry: FaceGeometry | None
    mean: Sequence[float]
    std: Sequence[float]
    colour: Literal["RGB", "BGR"] = "RGB"


class Surrogate:
    """A network whose embeddings, and whose gradients with respect to pictures, are asked for.

    A picture, float32 RGB 0…`white` of any size, reaches the network through a differentiable adapter: by `grid` where
    its face is aligned, else resized as a whole; then colour order and (x − mean) / std. Every pass has exactly `rows`
    pictures (a large one goes alone), the last one padded: kernels round differently for other numbers, and a picture's
    cloak must not depend on its neighbours.
    """

    def __init__(
        self,
        network: nn.Module,
        preprocess: Preprocess,
        execution: Execution = Execution(),
        *,
        name: str = "surrogate",
        digest: str = "",
        architecture: str = "",
        channels_last: bool = False,
        rows: int | None = None,
    ) -> None:
        """`rows` None stands for `ROWS` of the device. Raises `InputError` for a precision other than fp32 or bf16."""
        if execution.precision not in ("fp32", "bf16"):
            raise InputError(f"precision of surrogates is fp32 or bf16, not {execution.precision!r}")
        self.name, self.digest, self.architecture = name, digest, architecture or name
        self.device = torch.empty(0, device=execution.device).device  # with its number
        self.precision = execution.precision
        self.rows = rows or ROWS.get(self.device.type, ROWS["cpu"])
        self._format = torch.channels_last if channels_last else torch.contiguous_format
        self.network = network.to(self.device).eval().requires_grad_(False)
        if channels_last:
            self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it
        self.geometry, self._colour = preprocess.geometry, preprocess.colour
        self._size = None if self.geometry is None else (self.geometry.width, self.geometry.height)
        # in shares of white, so that a cloak may work on 0…255 or on 0…1 without a rounding between
        self._shares = [[value / 255 for value in values] for values in (preprocess.mean, preprocess.std)]
        self._mean, self._std = (
            torch.tensor(values, dtype=torch.float64, device=self.device).reshape(3, 1, 1) for values in self._shares
        )
        replicated = self.geometry is not None and self.geometry.border == "replicate"
        self._padding = "border" if replicated else "zeros"

    @classmethod
    def of(cls, spec: ExtractorSpec, network: nn.Module | None = None, execution: Execution = Execution()) -> Surrogate:
        """Return the surrogate of a spec with its own weights, or of another network that takes pictures as it says.

        That network stays as it is: a copy of it is taken.
        """
        if network is None:
            loaded, sha256 = load_network(spec)
            network = fold_batch_norms(loaded)
        else:
            sha256, network = state_sha256(network), copy.deepcopy(network)
        return cls(
            network,
            Preprocess(spec.geometry, spec.mean, spec.std, spec.colour),
            execution,
            name=spec.name,
            digest=spec.digest(sha256),
            architecture=spec.architecture or type(network).__qualname__,
            channels_last=True,  # the faster layout on every device measured, bench/cloak.py
        )

    def grid(self, matrices: F64 | None, picture_size: tuple[int, int]) -> Tensor | None:
        """Return where each input pixel lies in its picture, float32 (N, h, w, 2) as `grid_sample` counts.

        None where `matrices` are: the network sees pictures whole. They are float64 (N, 2, 3) and map a face point to
        its picture point, pixel centres at +0.5, as `kernels.warp_faces` takes them; `picture_size` is (width, height).
        """
        if matrices is None:
            return None
        assert self._size is not None
        width, height = self._size
        x, y = torch.meshgrid(
            torch.arange(width, dtype=torch.float64) + 0.5, torch.arange(height, dtype=torch.float64) + 0.5,
            indexing="xy",
        )  # fmt: skip
        points = torch.stack([x, y, torch.ones_like(x)], dim=-1)
        places = torch.einsum("nij,hwj->nhwi", torch.from_numpy(matrices), points)
        scale = 2 / torch.tensor(picture_size, dtype=torch.float64)
        return (places * scale - 1).float().to(self.device)

    def embed(
        self, pictures: Tensor, grid: Tensor | None = None, *, mirror: bool = False, white: float = 255
    ) -> Tensor:
        """Return raw embeddings (N, D) of pictures (N, 3, H, W), summed with those of their mirror images if asked."""
        embeddings = []
        with torch.no_grad():
            for part, count in self._parts(pictures):
                view = None if grid is None else grid[part]
                embeddings.append(self._forward(pictures[part], view, mirror, white)[:count])
        return torch.cat(embeddings)

    def loss_and_grad(
        self,
        pictures: Tensor,
        references: Tensor,
        distance: Distance,
        grid: Tensor | None = None,
        *,
        mirror: bool = False,
        white: float = 255,
    ) -> tuple[Tensor, Tensor]:
        """Return distance(embedding, reference) (N,) of each picture and its gradient (N, 3, H, W)."""
        losses, gradients = [], []
        for part, count in self._parts(pictures):
            x = pictures[part].detach().requires_grad_()
            embeddings = self._forward(x, None if grid is None else grid[part], mirror, white)
            loss = distance(embeddings, references[part])
            losses.append(loss.detach()[:count])
            gradients.append(_gradient(loss, x)[:count])
        return torch.cat(losses), torch.cat(gradients)

    def view(self, picture_size: tuple[int, int], white: float = 255) -> View | None:
        """Return how the network takes pictures (width, height) that it sees whole; None where it resizes them."""
        if self._size not in (None, picture_size):
            return None
        mean, std = ([white * value for value in values] for values in self._shares)
        return View(mean, std, [0, 1, 2] if self._colour == "RGB" else [2, 1, 0])

    def loss_and_grad_of_views(
        self, views: Tensor, references: Tensor, distance: Distance, *, mirrored: bool
    ) -> tuple[Tensor, Tensor]:
        """Return distance(embedding, reference) (V, N) of pictures as `view` tells, and its gradient.

        `views` (V, N, 3, H, W); with `mirrored` (2 V, …), each followed by its mirror image, whose embedding is added.
        The gradient has their shape.
        """
        losses, gradients, each = [], [], 2 if mirrored else 1
        count_of_views = len(views) // each
        for part, count in self._parts(views[0]):
            x = views[:, part].requires_grad_()
            embeddings = self._embeddings(x.flatten(0, 1)).reshape(count_of_views, each, len(part), -1)
            both = embeddings[:, 0] + embeddings[:, 1] if mirrored else embeddings[:, 0]
            loss = distance(both.flatten(0, 1), references[part].repeat(count_of_views, 1))
            losses.append(loss.detach().reshape(count_of_views, len(part))[:, :count])
            gradients.append(_gradient(loss, x)[:, :count])
        return torch.cat(losses, 1), torch.cat(gradients, 1)

    def _parts(self, pictures: Tensor) -> list[tuple[Tensor, int]]:
        """Return indices of a pass's pictures each, the last picture repeated to fill, and how many of them count."""
        count, rows = len(pictures), self.rows if pictures[:1, 0].numel() <= _LARGE else 1
        return [
            (torch.arange(i, i + rows, device=self.device).clamp_(max=count - 1), min(rows, count - i))
            for i in range(0, count, rows)
        ]

    def _forward(self, pictures: Tensor, grid: Tensor | None, mirror: bool, white: float) -> Tensor:
        if grid is not None:
            faces = functional.grid_sample(pictures, grid, "bilinear", self._padding, align_corners=False)
        elif self._size is None or pictures.shape[:1:-1] == self._size:
            faces = pictures
        else:
            faces = functional.interpolate(pictures, self._size[::-1], mode="bilinear", antialias=True)
        mean, std = ((white * values).to(faces) for values in (self._mean, self._std))
        # flipped, not indexed: a list as index is host memory, which a captured graph cannot copy
        planes = ((faces if self._colour == "RGB" else faces.flip(1)) - mean) / std
        if mirror:
            planes = torch.cat([planes, planes.flip(3)])
        embeddings = self._embeddings(planes)
        return embeddings[: len(pictures)] + embeddings[len(pictures) :] if mirror else embeddings

    def _embeddings(self, planes: Tensor) -> Tensor:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16"), full_float32():
            embeddings: Tensor = self.network(planes.contiguous(memory_format=self._format))
        return embeddings.to(planes.dtype)


def _gradient(loss: Tensor, x: Tensor) -> Tensor:
    """Return the gradient of the summed loss (N,) with respect to x."""
    with full_float32():
        return torch.autograd.grad(loss.sum(), x)[0]


def lengths(embeddings: Tensor) -> Tensor:
    """Return the Euclidean length (N,) of each embedding (N, D)."""
    norms: Tensor = torch.linalg.vector_norm(embeddings, dim=1)
    return norms


def unit(embeddings: Tensor) -> Tensor:
    """Return embeddings (N, D) divided by their Euclidean length."""
    return embeddings / lengths(embeddings)[:, None]


def common_view(
    surrogates: Sequence[Surrogate], grids: Sequence[Tensor | None], pictures: Tensor, white: float = 255
) -> View | None:
    """Return how all take pictures (N, 3, H, W); None where one resizes, aligns or normalises otherwise."""
    size = (pictures.shape[3], pictures.shape[2])
    views = [s.view(size, white) if grid is None else None for s, grid in zip(surrogates, grids, strict=True)]
    return views[0] if all(view == views[0] for view in views) else None

"""The image tower of CLIP's ViT-B/32 (arXiv 2103.00020, §2.4) under OpenAI's parameter names."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from facecure.extractors.networks.network import Network

_WIDTH, _HEADS, _LAYERS, _PATCH, _SIZE, _EMBEDDING = 768, 12, 12, 32, 224, 512


class _Attention(nn.Module):
    """Self-attention with the parameters of `nn.MultiheadAttention`."""

    def __init__(self) -> None:
        super().__init__()
        self.in_proj_weight = nn.Parameter(torch.empty(3 * _WIDTH, _WIDTH).normal_(std=_WIDTH**-0.5))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * _WIDTH))
        self.out_proj = nn.Linear(_WIDTH, _WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        """Return what the tokens (N, T, width) see of each other."""
        heads = nn.functional.linear(x, self.in_proj_weight, self.in_proj_bias)
        heads = heads.reshape(x.shape[0], x.shape[1], 3, _HEADS, _WIDTH // _HEADS)
        query, key, value = heads.permute(2, 0, 3, 1, 4).unbind(0)  # (N, heads, T, width / heads) each
        seen = nn.functional.scaled_dot_product_attention(query, key, value)
        return self.out_proj(seen.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


class _QuickGelu(nn.Module):
    """x σ(1.702 x), the approximation of GELU that CLIP was trained with."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the activation."""
        return x * torch.sigmoid(1.702 * x)


class _Block(nn.Module):
    """Attention and a two-layer perceptron, each on normalised tokens and added."""

    def __init__(self, gelu: type[nn.Module]) -> None:
        super().__init__()
        self.attn, self.ln_1 = _Attention(), nn.LayerNorm(_WIDTH)
        self.mlp = nn.Sequential()
        self.mlp.add_module("c_fc", nn.Linear(_WIDTH, 4 * _WIDTH))
        self.mlp.add_module("gelu", gelu())
        self.mlp.add_module("c_proj", nn.Linear(4 * _WIDTH, _WIDTH))
        self.ln_2 = nn.LayerNorm(_WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        """Return the tokens after the block."""
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))  # type: ignore[no-any-return]


class ClipVitB32(Network):
    """Faces (N, 3, 224, 224) to raw image embeddings (N, 512).

    Files may hold the whole model, as OpenAI's archive and a fine-tuned `model.state_dict()` do, or the tower alone.
    """

    anchor = "class_embedding"
    beyond = (
        r"transformer\.resblocks\..*|token_embedding\.weight|positional_embedding|ln_final\.(weight|bias)"
        r"|text_projection|logit_scale|input_resolution|context_length|vocab_size"
    )  # the text tower, beside visual.…

    gelu: type[nn.Module] = _QuickGelu

    def __init__(self) -> None:
        super().__init__()
        self.class_embedding = nn.Parameter(torch.zeros(_WIDTH))
        self.positional_embedding = nn.Parameter(torch.zeros((_SIZE // _PATCH) ** 2 + 1, _WIDTH))
        self.proj = nn.Parameter(torch.empty(_WIDTH, _EMBEDDING).normal_(std=_WIDTH**-0.5))
        self.conv1 = nn.Conv2d(3, _WIDTH, _PATCH, _PATCH, bias=False)
        self.ln_pre = nn.LayerNorm(_WIDTH)
        self.transformer = nn.Module()
        self.transformer.add_module("resblocks", nn.Sequential(*(_Block(self.gelu) for _ in range(_LAYERS))))
        self.ln_post = nn.LayerNorm(_WIDTH)

    def forward(self, faces: Tensor) -> Tensor:
        """Return the raw embeddings."""
        patches = self.conv1(faces).flatten(2).transpose(1, 2)
        first = self.class_embedding.expand(patches.shape[0], 1, -1)
        tokens = self.ln_pre(torch.cat([first, patches], 1) + self.positional_embedding)
        return self.ln_post(self.transformer.resblocks(tokens)[:, 0]) @ self.proj  # type: ignore[no-any-return,operator]

    def official(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the image tower's tensors; a `module.` of DataParallel goes before everything."""
        return super().official({key.removeprefix("module."): value for key, value in tensors.items()})


class ClipVitB32Gelu(ClipVitB32):
    """OpenCLIP's ViT-B-32 where its name does not end in quickgelu: the same tensors, and GELU itself."""

    gelu = nn.GELU

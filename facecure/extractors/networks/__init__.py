"""Architectures in torch, by the name that a spec's `architecture` gives; imported when one is built."""

from __future__ import annotations

from difflib import get_close_matches
from importlib import import_module
from typing import TYPE_CHECKING, Any

from facecure.errors import InputError

if TYPE_CHECKING:
    from facecure.extractors.networks.network import Network

ARCHITECTURES = {
    "arcface-resnet34-keras": "iresnet:ArcFaceKeras",
    "clip-vit-b32": "clip:ClipVitB32",
    "clip-vit-b32-gelu": "clip:ClipVitB32Gelu",
    "dlib-resnet": "dlib_resnet:DlibResNet",
    "inception-resnet-v1": "inception_resnet:InceptionResNetV1",
    "inception-resnet-v1-keras-128": "inception_resnet:InceptionResNetV1Keras",
    "inception-resnet-v1-keras-512": "inception_resnet:InceptionResNetV1Keras512",
    "ir-50": "face_evolve:Ir50",
    "ir-101": "face_evolve:Ir101",
    "ir-152": "face_evolve:Ir152",
    "iresnet18": "iresnet:IResNet18",
    "iresnet34": "iresnet:IResNet34",
    "iresnet50": "iresnet:IResNet50",
    "iresnet100": "iresnet:IResNet100",
    "keras": "keras.graph:KerasGraph",
    "magface-iresnet18": "iresnet:MagFace18",
    "magface-iresnet50": "iresnet:MagFace50",
    "magface-iresnet100": "iresnet:MagFace100",
    "mobilefacenet-prelu": "mobilefacenet:MobileFaceNetPReLU",
    "mobilefacenet-relu6": "mobilefacenet:MobileFaceNetReLU6",
    "resnet-50": "face_evolve:ResNet50",
    "resnet-101": "face_evolve:ResNet101",
    "resnet-152": "face_evolve:ResNet152",
    "tiny-mixer": "tiny:Mixer",
    "tiny-mobile": "tiny:Mobile",
    "tiny-plain": "tiny:Plain",
    "vgg-face-descriptor": "vgg:VggFaceDescriptor",
    "vgg-face-logits": "vgg:VggFaceLogits",
}

_EPSILON = "the same tensors fit {}, whose batch norms have another epsilon: embeddings differ slightly; which of the \
two they are, only their source says"
_GELU = "the same tensors fit {}, whose activation is another: embeddings differ by 1e-3; which of the two they are, \
only their source says (OpenAI's files and OpenCLIP's “-quickgelu” ones: clip-vit-b32; OpenCLIP's others: \
clip-vit-b32-gelu)"
# what nobody can tell from a file, by architecture
LOOKALIKES = {
    "clip-vit-b32": _GELU.format("clip-vit-b32-gelu"),
    "clip-vit-b32-gelu": _GELU.format("clip-vit-b32"),
    **{f"iresnet{depth}": _EPSILON.format(f"magface-iresnet{depth}") for depth in (18, 50, 100)},
    **{f"magface-iresnet{depth}": _EPSILON.format(f"iresnet{depth}") for depth in (18, 50, 100)},
}


def build_network(architecture: str, config: dict[str, Any] | None = None) -> Network:
    """Return a network without its weights; `config` is what a whole Keras model says about itself.

    Raises `InputError` for an unknown name, or a Keras model of unknown layers.
    """
    if architecture not in ARCHITECTURES:
        close = get_close_matches(architecture, ARCHITECTURES, 1)
        hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(ARCHITECTURES)}"
        raise InputError(f"unknown architecture {architecture!r}; {hint}")
    module, name = ARCHITECTURES[architecture].split(":")
    network: Any = getattr(import_module(f"{__name__}.{module}"), name)
    return network(config) if architecture == "keras" else network()  # type: ignore[no-any-return]

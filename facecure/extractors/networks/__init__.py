"""Architectures in torch, by the name that a spec's `architecture` gives; imported when one is built."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from facecure.registry import class_of

if TYPE_CHECKING:
    from facecure.extractors.networks.network import Network

ARCHITECTURES = {
    "arcface-resnet34-keras": "facecure.extractors.networks.iresnet:ArcFaceKeras",
    "clip-vit-b32": "facecure.extractors.networks.clip:ClipVitB32",
    "clip-vit-b32-gelu": "facecure.extractors.networks.clip:ClipVitB32Gelu",
    "dlib-resnet": "facecure.extractors.networks.dlib_resnet:DlibResNet",
    "inception-resnet-v1": "facecure.extractors.networks.inception_resnet:InceptionResNetV1",
    "inception-resnet-v1-keras-128": "facecure.extractors.networks.inception_resnet:InceptionResNetV1Keras",
    "inception-resnet-v1-keras-512": "facecure.extractors.networks.inception_resnet:InceptionResNetV1Keras512",
    "ir-50": "facecure.extractors.networks.face_evolve:Ir50",
    "ir-101": "facecure.extractors.networks.face_evolve:Ir101",
    "ir-152": "facecure.extractors.networks.face_evolve:Ir152",
    "iresnet18": "facecure.extractors.networks.iresnet:IResNet18",
    "iresnet34": "facecure.extractors.networks.iresnet:IResNet34",
    "iresnet50": "facecure.extractors.networks.iresnet:IResNet50",
    "iresnet100": "facecure.extractors.networks.iresnet:IResNet100",
    "keras": "facecure.extractors.networks.keras.graph:KerasGraph",
    "magface-iresnet18": "facecure.extractors.networks.iresnet:MagFace18",
    "magface-iresnet50": "facecure.extractors.networks.iresnet:MagFace50",
    "magface-iresnet100": "facecure.extractors.networks.iresnet:MagFace100",
    "mobilefacenet-prelu": "facecure.extractors.networks.mobilefacenet:MobileFaceNetPReLU",
    "mobilefacenet-relu6": "facecure.extractors.networks.mobilefacenet:MobileFaceNetReLU6",
    "resnet-50": "facecure.extractors.networks.face_evolve:ResNet50",
    "resnet-101": "facecure.extractors.networks.face_evolve:ResNet101",
    "resnet-152": "facecure.extractors.networks.face_evolve:ResNet152",
    "tiny-mixer": "facecure.extractors.networks.tiny:Mixer",
    "tiny-mobile": "facecure.extractors.networks.tiny:Mobile",
    "tiny-plain": "facecure.extractors.networks.tiny:Plain",
    "vgg-face-descriptor": "facecure.extractors.networks.vgg:VggFaceDescriptor",
    "vgg-face-logits": "facecure.extractors.networks.vgg:VggFaceLogits",
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
    network = class_of(ARCHITECTURES, architecture, "architecture")
    return network(config) if architecture == "keras" else network()  # type: ignore[no-any-return]

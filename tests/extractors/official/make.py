"""Write networks.npz: names, shapes and outputs of the official implementations, with the weights of `filled`.

Not run by the tests: the implementations are not packages of ours. They were, at the versions read,
  facenet-pytorch 2.6.0 (PyPI), models/inception_resnet_v1.py
  openai-clip 1.0.1 (PyPI), clip/model.py
  deepface 0.0.103 (PyPI) with tf-keras 2.21: deepface/models/facial_recognition/tf/{Facenet,VGGFace,ArcFace}.py
  IrvingMeng/MagFace 719001a, models/iresnet.py
  deepinsight/insightface 04a433f, recognition/arcface_torch/backbones/iresnet.py
  ZhaoJ9014/face.evoLVe 0c08eca, backbone/{model_irse,model_resnet}.py
Run it twice, `python make.py torch SOURCES` and `python make.py keras` in an environment with the latter; SOURCES is a
folder with inception_resnet_v1.py, clip_model.py, magface_iresnet.py, insightface_iresnet.py, model_irse.py and
model_resnet.py, those files with imports of their neighbours taken out.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
from filled import filled, picture

HERE = Path(__file__).parent


def torch_networks(sources: str) -> dict[str, np.ndarray]:
    sys.path.insert(0, sources)
    import clip_model
    import inception_resnet_v1
    import insightface_iresnet
    import magface_iresnet
    import model_irse
    import model_resnet
    import torch

    networks = {
        "inception-resnet-v1": (inception_resnet_v1.InceptionResnetV1(), 160),
        "clip-vit-b32": (clip_model.CLIP(512, 224, 12, 768, 32, 77, 49408, 512, 8, 12), 224),
        **{f"iresnet{n}": (getattr(insightface_iresnet, f"iresnet{n}")(), 112) for n in (18, 34, 50, 100)},
        **{f"magface-iresnet{n}": (getattr(magface_iresnet, f"iresnet{n}")(), 112) for n in (18, 50, 100)},
        **{f"ir-{n}": (model_irse.Backbone([112, 112], 100 if n == 101 else n), 112) for n in (50, 101, 152)},
        **{f"resnet-{n}": (model_resnet.make(n), 112) for n in (50, 101, 152)},
    }
    found = {}
    for name, (network, size) in networks.items():
        network.eval()
        state = network.state_dict()
        for key, value in state.items():
            if value.is_floating_point():
                value.copy_(torch.from_numpy(filled(key, tuple(value.shape))))
        with torch.no_grad():
            run = network.encode_image if name.startswith("clip") else network
            found[f"{name} output"] = run(torch.from_numpy(picture(size, size))).numpy()
        found[f"{name} names"] = np.array([f"{k} {tuple(v.shape)}" for k, v in state.items() if v.is_floating_point()])
    return found


def keras_networks() -> dict[str, np.ndarray]:
    os.environ |= {"TF_USE_LEGACY_KERAS": "1", "CUDA_VISIBLE_DEVICES": ""}
    import tf_keras
    from deepface.models.facial_recognition.tf import ArcFace, Facenet, VGGFace

    def arcface():
        from deepface.commons import weight_utils

        ArcFace.weight_utils.download_weights_if_necessary = lambda **_: ""
        ArcFace.weight_utils.load_model_weights = lambda model, **_: model
        assert weight_utils is ArcFace.weight_utils
        return ArcFace.load_model()

    vgg = VGGFace.base_model()
    networks = {
        "inception-resnet-v1-keras-128": (Facenet.InceptionResNetV1(dimension=128), -1, 160),
        "arcface-resnet34-keras": (arcface(), -1, 112),
        "vgg-face-logits": (vgg, -2, 224),
        "vgg-face-descriptor": (vgg, -5, 224),
    }
    found = {}
    for name, (network, output, size) in networks.items():
        names = []
        for layer in network.layers:
            for weight in layer.weights:
                kind = weight.name.split("/")[-1].removesuffix(":0")
                names.append(f"{layer.name}:{kind} {tuple(weight.shape)}")
                weight.assign(filled(f"{layer.name}:{kind}", tuple(weight.shape), inputs_first=True))
        part = tf_keras.Model(network.inputs, network.layers[output].output)
        found[f"{name} output"] = part.predict(picture(size, size).transpose(0, 2, 3, 1), verbose=0).reshape(2, -1)
        found[f"{name} names"] = np.array(names)
    return found


if __name__ == "__main__":
    found = torch_networks(sys.argv[2]) if sys.argv[1] == "torch" else keras_networks()
    file = HERE / "networks.npz"
    if file.exists():
        found = dict(np.load(file)) | found
    np.savez_compressed(file, **found)

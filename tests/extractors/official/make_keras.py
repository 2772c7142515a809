"""Write keras/*.h5 and keras/outputs.npz: small models as tf-keras 2.21 saves them, and what it makes of two pictures.

Not run by the tests; needs tf-keras, in an environment of its own.
"""

from __future__ import annotations

import os
from pathlib import Path

os.environ |= {"TF_USE_LEGACY_KERAS": "1", "CUDA_VISIBLE_DEVICES": ""}

import numpy as np
import tf_keras as k
from filled import filled, picture

HERE = Path(__file__).parent / "keras"
L = k.layers


def fill(model: k.Model) -> None:
    """Give every weight its own values: the order of a model's weights is what a reader can get wrong."""
    for number, weight in enumerate(model.weights):
        kind = weight.name.split("/")[-1].removesuffix(":0")
        count = np.float32(3) if kind == "count" else None
        values = filled(f"{number}{kind}", tuple(weight.shape), inputs_first=True) if count is None else count
        weight.assign(np.abs(values) if kind == "variance" else values)


def dense_block() -> k.Model:
    """DenseNet-like: concatenations, names with slashes, uneven sides under "same" padding."""
    x = start = k.Input((37, 30, 3))
    x = L.Conv2D(6, 7, 2, "same", use_bias=False, name="conv1/conv")(x)
    x = L.BatchNormalization(epsilon=1.001e-5, name="conv1/bn")(x)
    x = L.MaxPooling2D(3, 2, "same", name="pool1")(L.Activation("relu")(x))
    for number in range(2):
        y = L.Activation("relu")(L.BatchNormalization(name=f"block{number}/bn", scale=False)(x))
        x = L.Concatenate(name=f"block{number}/concat")([x, L.Conv2D(4, 3, padding="same")(y)])
    x = L.AveragePooling2D(2, 2, "same")(x)
    return k.Model(start, L.GlobalAveragePooling2D()(x), name="densenet")


def efficient() -> k.Model:
    """EfficientNet-like: rescaling and normalisation inside, depthwise convolutions, squeeze and excitation."""
    x = start = k.Input((32, 32, 3))
    x = L.Normalization(name="normalization")(L.Rescaling(1 / 2, 0.25)(x))
    x = L.Conv2D(8, 3, 2, padding="valid", activation="swish")(L.ZeroPadding2D(((0, 1), (1, 0)))(x))
    y = L.DepthwiseConv2D(3, 2, "same", depth_multiplier=2, use_bias=False)(x)
    y = L.BatchNormalization(momentum=0.9)(y)
    z = L.Reshape((1, 1, 16))(L.GlobalAveragePooling2D()(y))
    z = L.Conv2D(16, 1, activation="sigmoid")(L.Conv2D(4, 1, activation="swish")(z))
    y = L.Multiply()([y, z])
    x = L.SeparableConv2D(16, 3, 2, "same", activation="hard_sigmoid")(x)
    x = L.Add()([L.Dropout(0.2)(y), x])
    x = L.PReLU(shared_axes=[1, 2])(L.Conv2D(8, 3, dilation_rate=2, padding="same", groups=2)(x))
    x = L.Average()([L.ReLU(1.5, 0.1, 0.05)(x), L.LeakyReLU(0.2)(x)])
    return k.Model(start, L.Dense(7)(L.Flatten()(x)), name="efficientnet")


def chain() -> k.Model:
    """A chain of sub-models, one with a frozen part, one called twice."""
    inner = efficient()
    for layer in inner.layers[:6]:
        layer.trainable = False
    body = k.Sequential([L.Dense(6, "tanh", input_shape=(7,)), L.BatchNormalization()], name="body")
    head = k.Sequential([L.Dense(6, name="again"), L.Activation("relu6")], name="head")
    head.build((None, 6))
    start = k.Input((32, 32, 3))
    x = body(inner(start))
    return k.Model(start, L.Subtract()([head(head(x)), L.Maximum()([x, head(x)])]), name="chain")


def with_lambda() -> k.Model:
    return k.Sequential([L.Conv2D(2, 3, input_shape=(8, 8, 3)), L.Lambda(lambda x: x / 2, name="half"), L.Flatten()])


if __name__ == "__main__":
    HERE.mkdir(exist_ok=True)
    outputs = {}
    for make in (dense_block, efficient, chain, with_lambda):
        k.utils.set_random_seed(0)
        model = make()
        fill(model)
        file = HERE / f"{make.__name__}.h5"
        model.save(file, include_optimizer=False)
        model = k.models.load_model(file, compile=False)  # Normalization takes new values in only then
        faces = picture(*model.input_shape[1:3])
        outputs[make.__name__] = model.predict(faces.transpose(0, 2, 3, 1), verbose=0)
    dense_block().save_weights(HERE / "weights_alone.h5")
    np.savez_compressed(HERE / "outputs.npz", **outputs)

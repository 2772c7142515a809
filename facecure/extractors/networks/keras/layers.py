"""The Keras layers that are known, by class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from facecure.errors import InputError
from facecure.extractors.networks.keras import plain, weighted
from facecure.extractors.networks.keras.layer import Config, KerasLayer

_WITH_WEIGHTS: dict[str, type[Any]] = {
    **dict.fromkeys(("Conv2D", "DepthwiseConv2D", "SeparableConv2D"), weighted.Convolution),
    "Dense": weighted.Dense, "BatchNormalization": weighted.BatchNorm, "Normalization": weighted.Normalization,
    "PReLU": weighted.PRelu,
}  # fmt: skip
_WITHOUT: dict[str, type[KerasLayer]] = {
    "Activation": plain.Activation, "ReLU": plain.Relu, "LeakyReLU": plain.LeakyRelu, "Softmax": plain.Softmax,
    "ZeroPadding2D": plain.ZeroPadding, **dict.fromkeys(("MaxPooling2D", "AveragePooling2D"), plain.Pooling),
    **dict.fromkeys(("GlobalAveragePooling2D", "GlobalMaxPooling2D"), plain.GlobalPooling), "Flatten": plain.Flatten,
    "Reshape": plain.Reshape, "Rescaling": plain.Rescaling,
    **dict.fromkeys(("Dropout", "SpatialDropout2D", "GaussianNoise", "GaussianDropout", "InputLayer"), plain.Same),
    # EfficientNet's dropout of whole samples, under the name that its Keras port registers
    "FixedDropout": plain.Same,
    **dict.fromkeys(("Add", "Subtract", "Multiply", "Average", "Maximum", "Concatenate"), plain.Merge),
}  # fmt: skip


def make_layer(kind: str, config: Config, shapes: Sequence[Sequence[int]]) -> KerasLayer:
    """Return a Keras layer of a class by its config; `shapes` (C, …) of one input picture each tell its width.

    Raises `InputError` naming a class that is not known. Lambda holds Python code, which is never run.
    """
    config = {**config, "class": kind}
    if kind in _WITH_WEIGHTS:
        return _WITH_WEIGHTS[kind](config, shapes[0][0])  # type: ignore[no-any-return]
    if kind in _WITHOUT:
        return _WITHOUT[kind](config)
    if kind == "Lambda":
        raise InputError(
            f"layer {config['name']} is a Lambda: Python code inside the file, which is never run. If you trust its "
            "source, convert it where nothing can be harmed (a container without network) and use the result with a "
            "spec of your own:\n"
            "  pip install tf-keras tf2onnx && TF_USE_LEGACY_KERAS=1 python -m tf2onnx.convert --keras FILE.h5 "
            "--output FILE.onnx --opset 17 --inputs-as-nchw INPUT"
        )
    raise InputError(f"layer {config.get('name')} is of class {kind}, which is not known")

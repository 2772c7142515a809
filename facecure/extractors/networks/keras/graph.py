"""Any Keras model of known layers, built from the config that its file carries: nothing about it is guessed.

Fawkes' extractors are such files; what is in them (DenseNet, EfficientNet-like chains of sub-models) only they say.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from facecure.errors import InputError
from facecure.extractors.networks.keras.layer import Config, KerasLayer, Weight
from facecure.extractors.networks.keras.layers import make_layer
from facecure.extractors.networks.network import Network

_MODELS = ("Functional", "Model", "Sequential")
_Call = tuple[str, int, list[tuple[str, int]]]  # a layer, which of its calls, and the calls it reads


class KerasGraph(Network):
    """A model as a graph of calls of its layers; nested models are layers."""

    def __init__(self, config: dict[str, Any] | None, shape: Sequence[int] | None = None) -> None:
        """Build the network; `shape` (C, H, W) is its input's where it is nested.

        Raises `InputError` naming a layer that is not known.
        """
        super().__init__()
        if config is None:
            raise InputError("it holds weights without a model: its architecture has to be named instead of keras")
        if config.get("class_name") not in _MODELS:
            raise InputError(f"it holds a model of class {config.get('class_name')!r}, not a graph of layers")
        inner = config["config"]
        layers = inner["layers"] if isinstance(inner, dict) else inner  # Sequential was a plain list in Keras 1
        self.layers = nn.ModuleDict()
        self.names: list[str] = []  # Keras', in the file's order
        self.calls: list[_Call] = []
        self.trains = bool(config["config"].get("trainable", True)) if isinstance(inner, dict) else True
        if config["class_name"] == "Sequential":
            layers, self.input, self.output = _as_graph(layers)
        else:
            self.input, self.output = _end(inner, "input_layers"), _end(inner, "output_layers")
        self._build(layers, shape)

    def _build(self, layers: list[dict[str, Any]], shape: Sequence[int] | None) -> None:
        """Make the layers in an order in which each one's inputs are there, following shapes through them."""
        known: dict[tuple[str, int], Tensor] = {}
        entries = {entry["config"].get("name", entry.get("name")): entry for entry in layers}
        self.names = list(entries)
        nodes = {name: _nodes(entry) for name, entry in entries.items()}

        def call(read: tuple[str, int]) -> tuple[str, int]:
            """Return which call of a layer is read; a nested model's own making counts as its first for Keras."""
            name, number = read
            first = name in entries and entries[name]["class_name"] in _MODELS
            return name, 0 if len(nodes.get(name, [])) < 2 else number - first

        waiting = [(name, i, [*map(call, reads)]) for name in entries for i, reads in enumerate(nodes[name])]
        self.input, self.output = call(self.input), call(self.output)
        known[self.input] = torch.zeros(1, *(shape or _channels_first(entries[self.input[0]])))
        while waiting:
            ready = [one for one in waiting if all(read in known for read in one[2])]
            if not ready:
                raise InputError(f"its layers {', '.join(sorted({one[0] for one in waiting})[:4])} have no inputs")
            for name, number, reads in ready:
                known[name, number] = self._first_call(entries[name], name, [known[read] for read in reads])
                self.calls.append((name, number, reads))
            waiting = [one for one in waiting if one not in ready]

    def _first_call(self, entry: dict[str, Any], name: str, inputs: list[Tensor]) -> Tensor:
        """Return a layer's output, making the layer where it is not there; whatever goes wrong is the file's doing."""
        try:
            if _key(name) not in self.layers:
                self.layers[_key(name)] = self._layer(entry, name, [x.shape[1:] for x in inputs])
            with torch.no_grad():
                found: Tensor = self.layers[_key(name)](*inputs)
        except InputError:
            raise
        except Exception as error:  # a config may hold anything, and torch has an error of its own for each
            shapes = ", ".join(str(tuple(x.shape[1:])) for x in inputs)
            layer = f"layer {name}, {entry.get('class_name')},"
            raise InputError(f"{layer} cannot be built or called with inputs {shapes}: {error}") from error
        return found

    @staticmethod
    def _layer(entry: dict[str, Any], name: str, shapes: list[Sequence[int]]) -> nn.Module:
        if entry["class_name"] in _MODELS:
            return KerasGraph(entry, shapes[0])
        config: Config = {**entry["config"], "name": name}
        return make_layer(entry["class_name"], config, shapes)

    def forward(self, faces: Tensor) -> Tensor:
        """Return the model's output of its input (N, C, H, W)."""
        known = {self.input: faces}
        for name, number, reads in self.calls:
            known[name, number] = self.layers[_key(name)](*(known[read] for read in reads))
        return known[self.output]

    def official(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the file's tensors under this network's names, by Keras' own rule: layer by layer, in order."""
        groups: dict[str, list[str]] = {}
        for key in tensors:
            groups.setdefault(key.partition(":")[0], []).append(key)
        found: dict[str, Tensor] = {}
        for name in self.names:
            if _key(name) not in self.layers:
                continue  # an input
            wanted = list(_weights(self.layers[_key(name)], f"layers.{_key(name)}."))
            keys = groups.pop(name, [])
            for key, (there, kind, convert) in zip(keys, wanted, strict=False):
                named = key.rpartition(":")[2].rpartition("/")[2]
                found[there if named == kind else key] = convert(tensors[key]) if named == kind else tensors[key]
            found |= {key: tensors[key] for key in keys[len(wanted) :]}
        return found | {key: tensors[key] for keys in groups.values() for key in keys}


def _weights(layer: nn.Module, prefix: str) -> Iterator[tuple[str, str, Any]]:
    """Yield name here, name in Keras and conversion, in Keras' order: what training changes goes first."""
    both = list(_ordered(layer, prefix, True))
    for trained in (True, False):
        yield from ((prefix_ + w[2], w[0], w[3]) for prefix_, w, trains in both if trains is trained)


def _ordered(layer: nn.Module, prefix: str, trains: bool) -> Iterator[tuple[str, Weight, bool]]:
    if isinstance(layer, KerasGraph):
        below = [(f"{prefix}layers.{_key(n)}.", layer.layers[_key(n)]) for n in layer.names if _key(n) in layer.layers]
        every = [item for name, one in below for item in _ordered(one, name, trains and layer.trains)]
        # Keras lists a nested model's weights as one layer's
        yield from sorted(every, key=lambda item: not item[2])
    elif isinstance(layer, KerasLayer):
        trains = trains and bool(layer.config.get("trainable", True))
        for weight in layer.weights:
            yield prefix, weight, weight[1] and trains


def _key(name: str) -> str:
    """Return a layer's name as torch allows it: without dots."""
    return name.replace(".", "_")


def _end(model: dict[str, Any], key: str) -> tuple[str, int]:
    """Return a model's only input or output; it may stand without a list around it."""
    ends = model[key]
    ends = [ends] if ends and isinstance(ends[0], str) else ends
    if len(ends) != 1:
        raise InputError(f"it has {len(ends)} {key.replace('_', ' ')}, not one")
    return str(ends[0][0]), int(ends[0][1])


def _nodes(entry: dict[str, Any]) -> list[list[tuple[str, int]]]:
    """Return the calls of a layer, each as the calls that it reads; inputs have none."""
    nodes = []
    for node in entry.get("inbound_nodes", []):
        if isinstance(node, dict):
            raise InputError("it was written by Keras 3; save it with tf-keras, or convert it to ONNX")
        reads = [node] if node and isinstance(node[0], str) else node
        if any(kwargs for *_, kwargs in (read[3:] or [{}] for read in reads)):
            raise InputError(f"layer {entry.get('name')} is called with arguments besides its inputs")
        nodes.append([(str(read[0]), int(read[1])) for read in reads])
    return nodes


def _as_graph(layers: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], tuple[str, int], tuple[str, int]]:
    """Return the layers of a Sequential as those of a graph, with its input and output."""
    names = [str(entry["config"].get("name") or entry.get("name")) for entry in layers]
    chain = [
        dict(entry, inbound_nodes=[[[before, 0, 0, {}]]]) for before, entry in zip(names, layers[1:], strict=False)
    ]
    if layers[0]["class_name"] == "InputLayer":
        return [layers[0], *chain], (names[0], 0), (names[-1], 0)
    start = {"class_name": "InputLayer", "config": {"name": "", "batch_input_shape": _input_shape(layers[0])}}
    first = dict(layers[0], inbound_nodes=[[["", 0, 0, {}]]])
    return [start, first, *chain], ("", 0), (names[-1], 0)


def _input_shape(entry: dict[str, Any]) -> Any:
    """Return the shape that a layer gives, or a model's input; older Sequentials have it in their first layer."""
    config = entry["config"]
    if entry["class_name"] in _MODELS:
        layers = config["layers"] if isinstance(config, dict) else config
        return _input_shape(next((one for one in layers if one["class_name"] == "InputLayer"), layers[0]))
    return config.get("batch_input_shape") or config.get("batch_shape")


def _channels_first(entry: dict[str, Any]) -> tuple[int, ...]:
    shape = _input_shape(entry)
    if not shape or None in shape[1:]:
        raise InputError(f"its input {entry['config'].get('name')} has no fixed size but {shape}")
    return (shape[-1], *shape[1:-1])

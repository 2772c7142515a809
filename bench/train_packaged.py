"""`python bench/train_packaged.py [OUT]`: trains the three packaged extractors from nothing but synthetic people.

Each network sees a population of its own (seeds 101-103), disjoint from the others', from the demo's (seed 0) and from
the held-out one that accuracy is measured on. Seeded; minutes on two cores. Writes weights (torch and ONNX), spec files
and accuracy.json; the floating-point order of the machine may move single decisions.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import nn
from torch.nn import functional

from facecure.extractors.networks.tiny import EMBEDDING, NETWORKS, SIZE
from facecure.extractors.packaged import packaged_surrogate
from facecure.pictures.align import cut_face
from facecure.pictures.synthetic import make_person, render
from facecure.types import FaceGeometry

PEOPLE, PICTURES, EPOCHS, BATCH = 800, 20, 14, 128
HELD_OUT, HELD_OUT_PEOPLE, HELD_OUT_PICTURES = 999, 200, 10
GEOMETRY = FaceGeometry(SIZE, SIZE)
MEAN, STD = 127.5, 64.0


def faces(seed: int, people: int, pictures: int) -> tuple[np.ndarray, np.ndarray]:
    """Return uint8 faces (people · pictures, 64, 64, 3), cut as the spec says, and int64 labels."""

    def of(number: int) -> list[np.ndarray]:
        person = make_person(number, seed)
        return [cut_face(render(person, k).pixels, GEOMETRY, None) for k in range(pictures)]

    with ThreadPoolExecutor() as pool:
        cut = [face for group in pool.map(of, range(people)) for face in group]
    return np.stack(cut), np.repeat(np.arange(people), pictures)


def normalised(pixels: np.ndarray) -> torch.Tensor:
    """Return float32 (N, 3, 64, 64) as the spec's preprocessing makes it."""
    return ((torch.from_numpy(pixels).permute(0, 3, 1, 2).float() - MEAN) / STD).contiguous()


def train(name: str, seed: int) -> nn.Module:
    """Return one trained network: cosine softmax with margin 0.2 and scale 20 (CosFace, arXiv 1801.09414, eq. 4)."""
    pixels, labels = faces(seed, PEOPLE, PICTURES)
    inputs, targets = normalised(pixels), torch.from_numpy(labels)
    torch.manual_seed(seed)
    network, classes = NETWORKS[name](), nn.Parameter(torch.randn(PEOPLE, EMBEDDING))
    optimiser = torch.optim.AdamW([*network.parameters(), classes], lr=3e-3, weight_decay=0.02)
    steps = EPOCHS * (len(inputs) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=steps)
    for epoch in range(EPOCHS):
        started, total = time.perf_counter(), 0.0
        order = torch.randperm(len(inputs))
        for i in range(0, len(order) - BATCH + 1, BATCH):
            chosen = order[i : i + BATCH]
            batch = inputs[chosen]
            if torch.rand(()) < 0.5:
                batch = batch * (0.8 + 0.4 * torch.rand(len(batch), 1, 1, 1))
            shift = torch.randint(-3, 4, (2,)).tolist()
            embedded = functional.normalize(network(torch.roll(batch, shift, (2, 3))))
            cosine = embedded @ functional.normalize(classes).T
            margin = 0.2 * functional.one_hot(targets[chosen], PEOPLE)
            loss = functional.cross_entropy(20 * (cosine - margin), targets[chosen])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            total += float(loss.detach())
        print(f"{name} epoch {epoch + 1}: loss {total * BATCH / len(order):.3f}, {time.perf_counter() - started:.0f} s")
    return network.eval()


def nearest_accuracy(vectors: np.ndarray, labels: np.ndarray) -> float:
    """Return the share of pictures whose nearest other picture (cosine) shows the same person."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    similarity = unit @ unit.T
    np.fill_diagonal(similarity, -np.inf)
    return float((labels[similarity.argmax(axis=1)] == labels).mean())


def export(network: nn.Module, name: str, folder: Path) -> None:
    """Write state dict, ONNX file with dynamic batch, and spec."""
    torch.save(network.state_dict(), folder / f"{name}.pt")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own deprecations
        program = torch.onnx.export(
            network,
            (torch.zeros(2, 3, SIZE, SIZE),),
            input_names=["faces"],
            output_names=["embedding"],
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=4096)},),
            verbose=False,
        )
    program.save(folder / f"{name}.onnx", external_data=False)
    drop_traces(folder / f"{name}.onnx")
    write_spec(name, folder)


def drop_traces(file: Path) -> None:
    """Take the exporter's stack traces and shape notes, a tenth of a small file, out of an ONNX graph."""
    model = onnx.load(file)
    del model.graph.value_info[:]
    for part in (model, model.graph, *model.graph.node, *model.graph.input, *model.graph.output):
        del part.metadata_props[:]
        part.doc_string = ""
    onnx.checker.check_model(model)
    onnx.save(model, file)


def write_spec(name: str, folder: Path) -> None:
    """Write the spec file of an exported network."""
    sha256 = hashlib.sha256((folder / f"{name}.onnx").read_bytes()).hexdigest()
    file = folder / f"{name}.toml"
    text = (
        f'name = "synthetic-{name}"\n'
        f'weights = "{name}.onnx"\n'
        f'sha256 = "{sha256}"\n'
        f'input = {{ width = {SIZE}, height = {SIZE}, colour = "RGB", layout = "NCHW", '
        f"mean = [{MEAN}, {MEAN}, {MEAN}], std = [{STD}, {STD}, {STD}] }}\n"
        f"embedding = {{ size = {EMBEDDING}, normalise = true }}\n"
        '[face]\nmode = "crop"\n'
        '[about]\ntraining_set = "procedural faces of facecure.pictures.synthetic"\n'
        'licence = "Apache-2.0"\nyear = 2026\n'
    )
    file.write_text(text, encoding="utf-8")
    surrogate = packaged_surrogate(file)
    exported_from = f'exported_from = "{surrogate.digest(surrogate.hashed_weights()[1])}"\n'
    file.write_text(text.replace("input =", f"{exported_from}input =", 1), encoding="utf-8")


def main() -> None:
    """Train, measure on held-out people and write everything."""
    import facecure

    folder = Path(sys.argv[1] if len(sys.argv) > 1 else Path(facecure.__file__).parent / "extractors" / "packaged")
    folder.mkdir(parents=True, exist_ok=True)
    held_out, labels = faces(HELD_OUT, HELD_OUT_PEOPLE, HELD_OUT_PICTURES)
    accuracy = {"pixels": nearest_accuracy(held_out.reshape(len(labels), -1).astype(np.float32) - MEAN, labels)}
    for number, name in enumerate(NETWORKS):
        network = train(name, 101 + number)
        with torch.no_grad():
            accuracy[name] = nearest_accuracy(network(normalised(held_out)).numpy(), labels)
        export(network, name, folder)
        print(json.dumps(accuracy))
    (folder / "accuracy.json").write_text(json.dumps(accuracy, indent=1) + "\n")


if __name__ == "__main__":
    main()

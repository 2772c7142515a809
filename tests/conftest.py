"""Small pictures and extractors made on the spot, and the way to the shared real ones."""

from __future__ import annotations

import importlib.util
import os
import platform
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from facecure import _core  # before torch: facecure says how OpenMP waits

SHARED = {"assets": "FACECURE_ASSETS", "golden": "FACECURE_GOLDEN"}


# What the kernels and the scan are written for beside the scalar bodies, which run everywhere.
X86 = platform.machine() == "x86_64"
KERNELS, SCANS = (["avx2", "avx512"], ["avx2", "avxvnni", "avx512vnni"]) if X86 else ([], ["neon"])


def pytest_terminal_summary(terminalreporter):
    """Say which native bodies no test of this run could reach."""
    build = _core.build_info()
    missing = KERNELS[["scalar", *KERNELS].index(build["simd"]) :]
    if hasattr(_core, "scan_bodies"):
        here = [name for name, _ in _core.scan_bodies()]
        missing += [f"scan in {name}" for name in SCANS if name not in here]
    asked = build["simd_asked"]
    why = "this processor lacks them" if asked == "auto" else f"FACECURE_SIMD={asked} or the processor rules them out"
    terminalreporter.section("instruction sets")
    terminalreporter.line(f"NOT TESTED: {', '.join(missing)} ({why})" if missing else "all bodies were at hand")


def _shared(name: str) -> Path:
    default = Path(__file__).parents[2] / "shared" / name
    folder = Path(os.environ.get(SHARED[name], default))
    if not folder.is_dir():
        pytest.skip(f"{folder} is absent; name another one with {SHARED[name]}")
    return folder


@pytest.fixture(scope="session")
def assets() -> Path:
    return _shared("assets")


@pytest.fixture(scope="session")
def golden() -> Path:
    return _shared("golden")


def load_script(file: Path) -> ModuleType:
    """Return a Python file that belongs to no package, such as a benchmark, as a module."""
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def save_onnx(file: Path, nodes, inputs, outputs, weights=None) -> Path:
    """Write a checked ONNX graph; inputs and outputs are (name, shape), all float32."""
    value = lambda name, shape: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)  # noqa: E731
    graph = helper.make_graph(
        nodes,
        "test",
        [value(*i) for i in inputs],
        [value(*o) for o in outputs],
        [numpy_helper.from_array(array, name) for name, array in (weights or {}).items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, file)
    return file


@pytest.fixture
def many_cpus(monkeypatch):
    """Let any number of threads run up to eight, whatever the machine has: results depend on none."""
    from facecure import threads

    monkeypatch.setattr(threads, "_budget", threads.ThreadBudget(8, 8, "a test's"))


@pytest.fixture
def make_spec(tmp_path):
    """Return a function that writes an extractor: 16×16 crops, mean colour of 4×4 blocks → 48 values."""

    def make(name: str = "blocks", text: str | None = None, **replace: str) -> Path:
        folder = tmp_path / "extractors"
        folder.mkdir(exist_ok=True)
        nodes = [
            helper.make_node("AveragePool", ["faces"], ["blocks"], kernel_shape=[4, 4], strides=[4, 4]),
            helper.make_node("Flatten", ["blocks"], ["embedding"], axis=1),
        ]
        if not (folder / "blocks.onnx").exists():
            save_onnx(folder / "blocks.onnx", nodes, [("faces", ["n", 3, 16, 16])], [("embedding", ["n", 48])])
        spec = text or (
            f'name = "{name}"\n'
            'weights = "blocks.onnx"\n'
            "input = { width = 16, height = 16, mean = [127.5, 127.5, 127.5], std = [128.0, 128.0, 128.0] }\n"
            "embedding = { size = 48 }\n"
        )
        for old, new in replace.items():
            assert old in spec
            spec = spec.replace(old, new)
        file = folder / f"{name}.toml"
        file.write_text(spec, encoding="utf-8")
        return file

    return make


@pytest.fixture
def people(tmp_path):
    """Return a function that writes identity folders of small patterned pictures and returns their folder.

    A person is a smooth random colour pattern, a picture of them that pattern with noise; `shift` blends in the pattern
    of the next person, as a cloak would.
    """

    def make(
        folder: str = "clean", identities: int = 4, pictures: int = 6, *, suffix: str = "", shift: float = 0.0,
        noise: float = 20.0, seed: int = 0, names: str = "person_{:02d}",
    ) -> Path:  # fmt: skip
        patterns = np.random.default_rng(seed).uniform(0, 255, (identities, 4, 4, 3))
        rng = np.random.default_rng([seed, len(suffix), int(100 * shift)])
        for i in range(identities):
            person = tmp_path / folder / names.format(i)
            person.mkdir(parents=True, exist_ok=True)
            for k in range(pictures):
                pattern = (1 - shift) * patterns[i] + shift * patterns[(i + 1) % identities]
                pixels = np.clip(pattern + rng.normal(0, noise, pattern.shape), 0, 255).astype(np.uint8)
                image = Image.fromarray(pixels).resize((40, 40), Image.Resampling.BICUBIC)
                image.save(person / f"photo_{k:03d}{suffix}.png")
        return tmp_path / folder

    return make


@pytest.fixture(scope="session")
def real_embeddings(assets, tmp_path_factory):
    """Return usable samples (clean, all cloaks that tools made, LFW people as distractors) and their embeddings.

    By the first aligned 112×112 model of the assets; everything is discovered by layout, nothing named.
    """
    from facecure.embeddings.pipeline import embed
    from facecure.extractors.runtimes.onnx import OnnxExtractor
    from facecure.extractors.spec import read_spec
    from facecure.pictures.manifest import read_sets
    from facecure.pictures.yunet import YuNet

    folders = [f for f in sorted((assets / "facescrub").iterdir()) if f.is_dir()]
    first = {f: next(f.rglob("*.*")).stem for f in folders}
    cloaked = {f.name: f for f in folders if first[f].endswith(("_cloaked", "_attacked"))}
    clean = next(f for f in folders if f not in cloaked.values() and not first[f].endswith("_small"))
    sets = read_sets(clean, cloaked, {}, [])
    spec = real_specs(assets, tmp_path_factory.mktemp("specs"))[0]
    detector = YuNet(next((assets / "models").glob("yunet*.onnx")))
    table = embed(sets.samples, [OnnxExtractor(read_spec(spec))], detector)
    return table.samples, table.embeddings[0].vectors


def real_specs(assets: Path, folder: Path) -> list[Path]:
    """Write a spec for every 112×112 model of the assets; preprocessing is taken to be inside the graph."""
    specs = []
    for file in sorted((assets / "models").glob("*.onnx")):
        graph = onnx.load(file, load_external_data=False).graph
        sides = [d.dim_value for d in graph.input[0].type.tensor_type.shape.dim][2:]
        size = graph.output[0].type.tensor_type.shape.dim[-1].dim_value
        if sides != [112, 112] or not size:
            continue
        specs.append(folder / f"{file.stem}.toml")
        specs[-1].write_text(
            f'name = "{file.stem}"\nweights = "{file}"\n'
            "input = { width = 112, height = 112, mean = [0, 0, 0], std = [1, 1, 1] }\n"
            f"embedding = {{ size = {size} }}\n[face]\nmode = 'align'\ncanvas = [112, 112]\n"
            "template = [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], "
            "[70.7299, 92.2041]]\n"
        )
    return specs

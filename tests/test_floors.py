"""Imports go down only, and importing the package loads no heavy backend."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import facecure

ROOT = Path(facecure.__file__).parent
# lowest first; rooms on one floor do not import each other. docs/architecture.md says what is in each
FLOORS = [
    {"errors", "names"},
    {"types", "registry"},
    {"_core"},
    {"threads"},
    {"execution"},
    {"kernels", "weights"},
    {"runs"},
    {"pictures", "search"},
    {"extractors"},
    {"training"},
    {"embeddings", "cloaks"},
    {"protocols", "countermeasures"},
    {"recognisers", "certificates"},
    {"report", "zoo"},
    {"study"},
    {"commands"},
    {"cli"},
]
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
FILES = sorted(p for p in ROOT.rglob("*.py") if p != ROOT / "__init__.py")


def room(file: Path) -> str:
    return file.relative_to(ROOT).parts[0].removesuffix(".py")


def imported_rooms(file: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom):
            names = (
                [f"{node.module}.{alias.name}" for alias in node.names] if node.module == "facecure" else [node.module]
            )
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        found |= {name.split(".")[1] for name in names if name and name.startswith("facecure.")}
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(ROOT)))
def test_imports_go_down(file):
    own = room(file)
    for other in imported_rooms(file) - {own}:
        assert FLOOR[other] < FLOOR[own], f"{own} imports {other}, which is not below it"


def test_import_is_light():
    heavy = ["torch", "onnxruntime", "faiss", "openvino", "nvidia.dali", "tensorrt", "pyarrow", "cv2", "sklearn"]
    code = f"import sys, facecure; dir(facecure); print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_public_names_survive_their_modules_import():
    import facecure.commands.evaluate
    import facecure.embeddings.pipeline

    for name in facecure.__all__:
        assert getattr(facecure, name) is not None
    assert callable(facecure.evaluate)
    assert callable(facecure.embed)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = facecure.nothing


def test_stub_names_what_the_extension_has():
    stub = ast.parse((ROOT / "_core.pyi").read_text())
    named = {node.name for node in stub.body if isinstance(node, ast.FunctionDef)}
    from facecure import _core

    if not _core.build_info()["cuda"]:
        named -= {name for name in named if "cuda" in name} - {"cuda_devices"}
    assert named == {name for name in dir(_core) if not name.startswith("_")}


@pytest.mark.parametrize("file", sorted((ROOT / "commands").glob("*.py")), ids=lambda file: file.name)
def test_commands_only_compose(file):
    assert len(file.read_text().splitlines()) <= 100, "what a command does beyond composing belongs to a stage's room"

"""Commands take files and names of the zoo alike; a file of that name wins."""

from __future__ import annotations

import shutil

import pytest

pytest.importorskip("torch")

from facecure.errors import InputError
from facecure.extractors.packaged import packaged_specs
from facecure.zoo import catalogue, find
from facecure.zoo.catalogue import ZooFile
from facecure.zoo.find import find_detector, find_lpips, find_spec

from .conftest import PLAIN, entry


@pytest.fixture
def models(tmp_path, monkeypatch):
    """A zoo of small entries, its files already in the cache."""
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "plain.pt").write_bytes(PLAIN)
    (folder / "body").write_bytes(b"body")
    (folder / "heads").write_bytes(b"heads")
    entries = [
        entry(ZooFile("plain.pt", page="by hand")),
        entry(ZooFile("net.onnx", page="by hand"), name="yunet", kind="detector", preprocessing={}),
        entry(*(ZooFile(f"{net}.pt", page="p") for net in "pro"), name="mtcnn", kind="detector", preprocessing={}),
        entry(ZooFile("body", page="p"), ZooFile("heads", page="p"), name="lpips-alex", kind="perceptual distance",
              preprocessing={}),
    ]  # fmt: skip
    for module in (catalogue, find):
        monkeypatch.setattr(module, "zoo", lambda: {one.name: one for one in entries})
    monkeypatch.setenv("FACECURE_MODELS", str(folder))
    monkeypatch.delenv("FACECURE_DETECTOR", raising=False)
    monkeypatch.chdir(tmp_path)
    return folder


def test_names_and_files_of_extractors(models, tmp_path):
    assert find_spec("plain").architecture == "tiny-plain"
    assert find_spec(str(packaged_specs()[0])).name == "synthetic-mixer"
    with pytest.raises(InputError, match="did you mean plain"):
        find_spec("plane")
    with pytest.raises(InputError, match=r"extractor spec missing\.toml"):
        find_spec("missing.toml")
    with pytest.raises(InputError, match="not an extractor"):
        find_spec("yunet")
    shutil.copy(packaged_specs()[0], tmp_path / "plain")
    assert find_spec("plain").name == "synthetic-mixer"  # the file


@pytest.mark.shared
def test_names_and_files_of_detectors(models, assets, monkeypatch):
    file = assets / "models" / "yunet_n_dynamic.onnx"
    assert find_detector(None) is None
    with pytest.raises(InputError, match=r"yunet is not on this machine"):
        find_detector("yunet")
    shutil.copy(file, models / "net.onnx")
    assert find_detector("yunet").sha256 == find_detector(file).sha256
    monkeypatch.setenv("FACECURE_DETECTOR", "yunet")
    assert find_detector(None).file == models / "net.onnx"
    with pytest.raises(InputError, match="plain is not a detector; try yunet or mtcnn"):
        find_detector("plain")
    for net in "pro":
        shutil.copy(assets / "models" / f"mtcnn_{net}net.pt", models / f"{net}.pt")
    assert find_detector("mtcnn").digest not in (find_detector("yunet").digest, "")


def test_names_and_files_of_perceptual_distances(models):
    assert find_lpips("lpips-alex") == ("alex", models / "body", models / "heads")
    assert find_lpips("squeeze=a.pth,b.pth")[0] == "squeeze"
    for wrong in ("plain", "alex", "alex=a.pth", "=a,b", ""):
        with pytest.raises(InputError, match="lpips is one of lpips-alex"):
            find_lpips(wrong)

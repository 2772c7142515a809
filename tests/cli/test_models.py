"""`facecure models` lists, shows, fetches and adds, and says what to do where it cannot."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")

from facecure.zoo.catalogue import zoo

FACECURE = Path(sys.executable).with_name("facecure")


@pytest.fixture
def run(tmp_path):
    """Return a function that runs a subcommand with a cache of its own and no network to the outside."""

    def call(*arguments, status: int = 0) -> subprocess.CompletedProcess:
        environment = os.environ | {"FACECURE_MODELS": str(tmp_path / "models"), "https_proxy": "http://127.0.0.1:9"}
        done = subprocess.run(
            [FACECURE, "models", *map(str, arguments)], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == status, done.stderr
        return done

    return call


@pytest.fixture(scope="module")
def dlib() -> Path:
    package = importlib.util.find_spec("face_recognition_models")
    if package is None:
        pytest.skip("face_recognition_models is not installed; the extra test brings it")
    return Path(package.submodule_search_locations[0]) / "models" / "dlib_face_recognition_resnet_model_v1.dat"


def test_the_list_has_every_entry_with_its_terms_apart(run, tmp_path):
    text = run().stdout
    for entry in zoo().values():
        (line,) = [line for line in text.splitlines() if f" {entry.name} " in line]
        assert str(entry.year) in line
        assert entry.licence.split()[0] in line
    for said in ("terms of the weights", "trained on", "terms of the data", "facecure itself is Apache-2.0"):
        assert said in text
    assert str(tmp_path / "models") in text
    assert not (tmp_path / "models").exists()  # looking changes nothing


def test_show_has_checksum_address_and_preprocessing(run):
    text = run("show", "clip-vit-b32").stdout
    for said in ("40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af", "openaipublic", "width 224",
                 "arXiv 2103.00020", "not there"):  # fmt: skip
        assert said in text


def test_an_unknown_name_is_answered_with_close_ones(run):
    assert "magface-iresnet100" in run("show", "magface", status=2).stderr
    assert "did you mean yunet?" in run("fetch", "yunett", status=2).stderr


def test_without_a_connection_fetch_says_what_to_place_where(run, tmp_path):
    text = run("fetch", "sface-opencv", status=2).stderr
    for said in ("Apache-2.0", "no connection", "0ba9fbfa01b5270c", "facecure models add FILE --as sface-opencv",
                 str(tmp_path / "models" / "face_recognition_sface_2021dec.onnx")):  # fmt: skip
        assert said in text
    assert "no public address" in run("fetch", "magface-iresnet100", status=2).stderr


@pytest.mark.slow
def test_a_file_is_added_shown_and_used(run, dlib, tmp_path):
    assert "dlib-resnet is ready: facecure … --extractor dlib-resnet" in run("add", dlib, "--as", "dlib-resnet").stdout
    assert "│ yes" in next(line for line in run().stdout.splitlines() if " dlib-resnet " in line)
    text = run("show", "dlib-resnet").stdout
    assert f"added from {dlib}" in text
    assert "not there" not in text
    assert "ready" in run("fetch", "dlib-resnet").stdout  # nothing is left to fetch
    lock = json.loads((tmp_path / "models" / "lock.json").read_text())
    assert lock.keys() == {"dlib_face_recognition_resnet_model_v1.dat"}
    assert "dlib_face_recognition_resnet_model_v1.dat" in run("remove", "dlib-resnet").stdout
    assert "nothing was there" in run("remove", "dlib-resnet").stdout
    assert "not there" in run("show", "dlib-resnet").stdout


def test_another_file_is_refused(run, dlib, tmp_path):
    (tmp_path / "wrong.dat").write_bytes(dlib.read_bytes()[:-1])
    text = run("add", tmp_path / "wrong.dat", "--as", "dlib-resnet", status=2).stderr
    assert "its publisher says 55533b28a95800a5" in text
    assert "no such file" in run("add", tmp_path / "nowhere", "--as", "dlib-resnet", status=2).stderr


@pytest.mark.shared
def test_several_files_come_one_by_one(run, assets):
    models = assets / "models"
    done = run("add", models / "mtcnn_pnet.pt", models / "mtcnn_rnet.pt", "--as", "mtcnn").stdout
    assert "still missing: mtcnn_onet.pt" in done
    assert "mtcnn is ready: facecure … --detector mtcnn" in run("add", models / "mtcnn_onet.pt", "--as", "mtcnn").stdout

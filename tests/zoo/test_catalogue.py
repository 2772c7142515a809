"""Every entry is complete, and what it says can be built."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from facecure.errors import InputError
from facecure.extractors.networks import ARCHITECTURES
from facecure.zoo.catalogue import zoo, zoo_entry

EXTRACTORS = [entry for entry in zoo().values() if entry.kind == "extractor"]
FILES = {(entry.name, file.name): file for entry in zoo().values() for file in entry.files}
# of the study and its reproductions (docs/protocol.md §9), and what else a run needs
STUDY = {
    "facenet-vggface2", "facenet-casia", "facenet-deepface-128", "fawkes-low", "fawkes-high",
    "fawkes-extractor-0", "fawkes-extractor-2", "vggface", "arcface-deepface", "arcface-casia-r100",
    "insightface-w600k-r50", "insightface-w600k-mbf", "magface-iresnet100", "clip-vit-b32",
    "clip-vit-b32-faces", "sface-opencv", "sface-synthetic", "lowkey-ir152-arcface", "lowkey-ir152-cosface",
    "lowkey-resnet152-arcface", "lowkey-resnet152-cosface", "dlib-resnet", "mobilefacenet-xiaoccer",
    "mobilefacenet-foamliu", "mobilefacenet-insightface-y1", "mobilefacenet-mobileface-v3", "yunet", "mtcnn",
    "lpips-alex",
}  # fmt: skip


def test_the_study_is_here():
    assert zoo().keys() >= STUDY


@pytest.mark.parametrize("entry", zoo().values(), ids=lambda e: e.name)
def test_an_entry_says_where_it_comes_from_and_on_what_terms(entry):
    assert all((entry.licence, entry.paper, entry.training_set, entry.data_terms))
    assert 2012 < entry.year < 2027
    for file in entry.files:
        assert file.urls or file.page
        for url in file.urls:
            assert re.fullmatch(r"https?://[^\s#]+(#\S+)?", url)
        # plain http only where the publisher has nothing else, and never first
        assert not (file.urls and file.urls[0].startswith("http:"))


@pytest.mark.parametrize("file", FILES.values(), ids=lambda f: f.name)
def test_checksums_look_like_checksums(file):
    for digest, length in ((file.sha256, 64), (file.reported, 64), (file.md5, 32)):
        assert digest is None or re.fullmatch(rf"[0-9a-f]{{{length}}}", digest)
    assert file.size is None or file.size > 1000
    assert "/" not in file.name


def test_a_file_of_two_entries_is_one_file():
    by_name = {}
    for (_, name), file in FILES.items():
        assert by_name.setdefault(name, file) == file


@pytest.mark.parametrize("entry", EXTRACTORS, ids=lambda e: e.name)
def test_an_extractor_has_a_spec(entry):
    spec = entry.spec(Path("/models/weights"), "0" * 64, entry.embedding_size or 7)
    assert (spec.name, spec.weights, spec.sha256) == (entry.name, Path("/models/weights"), "0" * 64)
    assert (spec.year, spec.training_set) == (entry.year, entry.training_set)
    assert (spec.licence, spec.data_terms) == (entry.licence, entry.data_terms)
    assert spec.architecture in {None, *ARCHITECTURES}
    assert (spec.architecture is None) == entry.files[0].name.endswith(".onnx")
    assert len(entry.files) == 1
    assert (entry.embedding_size is None) == (spec.architecture == "keras")


# colour, mean, std of the first plane, mode and interpolation, by the source that each name stands for
PREPROCESSING = {
    "facenet-vggface2": ("RGB", 127.5, 128, "crop", "bilinear"),
    "fawkes-high": ("BGR", 103.939, 1, "crop", "bilinear"),
    "fawkes-extractor-0": ("RGB", 0, 255, "crop", "bilinear"),
    "arcface-deepface": ("RGB", 127.5, 128, "align", "bilinear"),
    "arcface-casia-r100": ("RGB", 127.5, 127.5, "align", "bilinear"),
    "magface-iresnet100": ("BGR", 0, 255, "align", "bilinear"),
    "clip-vit-b32": ("RGB", 0.48145466 * 255, 0.26862954 * 255, "crop", "bicubic"),
    "sface-opencv": ("RGB", 0, 1, "align", "bilinear"),
    "sface-synthetic": ("RGB", 127.5, 127.5, "align", "bilinear"),
    "lowkey-ir152-cosface": ("RGB", 127.5, 127.5, "align", "bilinear"),
    "mobilefacenet-foamliu": ("RGB", 0.485 * 255, 0.229 * 255, "align", "bilinear"),
}


@pytest.mark.parametrize("name", PREPROCESSING)
def test_preprocessing_is_that_of_the_study(name):
    colour, mean, std, mode, interpolation = PREPROCESSING[name]
    spec = zoo_entry(name).spec(Path("w"), None, 1)
    assert spec.colour == colour
    assert spec.mean[0] == pytest.approx(mean, abs=1e-6)
    assert spec.std[0] == pytest.approx(std, abs=1e-6)
    assert (spec.geometry.mode, spec.geometry.interpolation) == (mode, interpolation)


def test_both_sfaces_are_kept_apart():
    zhong, boutros = zoo_entry("sface-opencv"), zoo_entry("sface-synthetic")
    assert "2205.12010" in zhong.paper
    assert "2206.10520" in boutros.paper
    assert zhong.preprocessing["embedding"] != boutros.preprocessing["embedding"]


def test_a_name_that_is_not_there_is_answered_with_close_ones():
    with pytest.raises(InputError, match=r"no 'magface'; did you mean .*magface-iresnet100"):
        zoo_entry("magface")
    with pytest.raises(InputError, match="see facecure models"):
        zoo_entry("???")


@pytest.mark.shared
def test_the_shared_files_are_the_named_ones(assets):
    import hashlib

    known = {file.name: file for file in FILES.values()}
    found = {path.name: path for path in (assets / "models").iterdir() if path.name in known}
    assert len(found) >= 9
    for name, path in found.items():
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        assert digest == (known[name].sha256 or known[name].reported)
        assert path.stat().st_size == known[name].size


def test_lpips_calibrated_files_are_those_of_the_zoo():
    pytest.importorskip("torch")
    from facecure.cloaks.lpips import PUBLISHED

    assert {"lpips-" + trunk for trunk in PUBLISHED} == {name for name in zoo() if name.startswith("lpips-")}
    for trunk, (backbone, heads) in PUBLISHED.items():
        first, second = zoo()["lpips-" + trunk].files
        assert first.sha256.startswith(backbone)
        assert second.sha256 == heads

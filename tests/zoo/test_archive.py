"""A file comes out of every kind of archive that weights are published in."""

from __future__ import annotations

import bz2
import io
import tarfile
import zipfile

import pytest

from facecure.errors import InputError
from facecure.zoo.archive import is_archive, unpack

CONTENT = b"weights" * 1000


@pytest.fixture
def packed(tmp_path):
    """Return a function that packs files, by the archive's ending."""

    def pack(name: str, members: dict[str, bytes]):
        file = tmp_path / name
        if name.endswith(".bz2"):
            file.write_bytes(bz2.compress(*members.values()))
        elif name.endswith(".tar.gz"):
            with tarfile.open(file, "w:gz") as tar:
                for member, content in members.items():
                    entry = tarfile.TarInfo(member)
                    entry.size = len(content)
                    tar.addfile(entry, io.BytesIO(content))
        else:
            with zipfile.ZipFile(file, "w") as archive:
                for member, content in members.items():
                    archive.writestr(member, content)
        return file

    return pack


@pytest.mark.parametrize("name", ["a.zip", "a.whl", "a.tar.gz"])
@pytest.mark.parametrize("member", ["inner/w.onnx", "w.onnx"])
def test_a_member_is_found_in_whatever_folder(packed, tmp_path, name, member):
    archive = packed(name, {"inner/w.onnx": CONTENT, "inner/other.onnx": b"no"})
    unpack(archive, name, member, tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == CONTENT


def test_the_exact_member_wins_over_others_of_its_name(packed, tmp_path):
    unpack(packed("a.zip", {"b/w": b"no", "w": CONTENT}), "a.zip", "w", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == CONTENT


def test_bz2_holds_one_file(packed, tmp_path):
    unpack(packed("w.dat.bz2", {"": CONTENT}), "w.dat.bz2", "w.dat", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == CONTENT


@pytest.mark.parametrize("name", ["a.zip", "a.tar.gz"])
@pytest.mark.parametrize("member", ["x", "w"])
def test_a_missing_or_doubtful_member_is_named(packed, tmp_path, name, member):
    archive = packed(name, {"a/w": CONTENT, "b/w": CONTENT})
    with pytest.raises(InputError, match=f"{name} is damaged or has no {member}"):
        unpack(archive, name, member, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["a.zip", "a.tar.gz", "a.bz2"])
def test_a_damaged_archive_is_named(packed, tmp_path, name):
    archive = packed(name, {"w": CONTENT})
    archive.write_bytes(archive.read_bytes()[:30])
    with pytest.raises(InputError, match=f"{name} is damaged"):
        unpack(archive, name, "w", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_link_is_no_member(tmp_path):
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as tar:
        link = tarfile.TarInfo("w")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    with pytest.raises(InputError, match="has no w"):
        unpack(tmp_path / "a.tar.gz", "a.tar.gz", "w", tmp_path / "out")


def test_kinds_are_told_by_name():
    assert [name for name in ("a.zip", "a.pt", "a.whl", "a.dat.bz2", "a.tar.gz", "a.gz") if is_archive(name)] == [
        "a.zip", "a.whl", "a.dat.bz2", "a.tar.gz",
    ]  # fmt: skip

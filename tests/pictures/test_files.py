"""Only regular files that begin as a picture are read, and nothing waits for any other."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from facecure.pictures import files
from facecure.pictures.files import is_file, is_folder, read_head, read_picture
from facecure.pictures.formats import HEAD, UnreadablePicture

JPEG = b"\xff\xd8\xff" + bytes(1000)


def fifo(path: Path) -> None:
    os.mkfifo(path)


def listening(path: Path) -> None:
    before = Path.cwd()
    os.chdir(path.parent)  # a socket's path has some hundred bytes
    try:
        socket.socket(socket.AF_UNIX).bind(path.name)
    finally:
        os.chdir(before)


OTHERS = {
    "a FIFO": fifo,
    "a FIFO by link": lambda path: (os.mkfifo(path.with_name("pipe")), path.symlink_to("pipe")),
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "a socket": listening,
    "a folder": lambda path: path.mkdir(),
    "No such file": lambda path: None,
    "Too many levels": lambda path: path.symlink_to(path.name),
    "an empty file": lambda path: path.touch(),
}


@pytest.mark.parametrize("read", [read_head, read_picture])
@pytest.mark.parametrize(("reason", "make"), OTHERS.items(), ids=OTHERS)
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_what_is_no_file_is_named_and_not_waited_for(reason, make, read, tmp_path):
    make(tmp_path / "x.jpg")
    if reason == "an empty file" and read is read_head:
        assert read(tmp_path / "x.jpg") == b""
        return
    with pytest.raises(UnreadablePicture, match=reason.removesuffix(" by link")):
        read(tmp_path / "x.jpg")


def test_what_takes_the_place_of_a_file_is_not_waited_for(tmp_path, monkeypatch):
    """A FIFO that comes between looking and opening."""
    os.mkfifo(tmp_path / "x.jpg")
    checked = []
    real = files._check_regular
    monkeypatch.setattr(files, "_check_regular", lambda status: real(status) if checked else checked.append(status))
    with pytest.raises(UnreadablePicture, match="a FIFO"):
        read_picture(tmp_path / "x.jpg")


def test_a_nul_in_a_name_is_said():
    with pytest.raises(UnreadablePicture, match="NUL"):
        read_picture(Path("a\0b.jpg"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_named(tmp_path):
    (tmp_path / "x.jpg").write_bytes(JPEG)
    (tmp_path / "x.jpg").chmod(0)
    with pytest.raises(UnreadablePicture, match="Permission denied"):
        read_picture(tmp_path / "x.jpg")


def test_the_whole_content_is_returned_once_its_size_is_admitted(tmp_path):
    (tmp_path / "x").write_bytes(JPEG)
    asked = []
    assert read_picture(tmp_path / "x", asked.append) == JPEG
    assert asked == [len(JPEG)]
    assert read_head(tmp_path / "x") == JPEG[:HEAD]


@pytest.mark.parametrize(
    ("head", "reason"), [(JPEG[:3], "40960 MiB, beyond the 512"), (b"\0\0\0\x14ftypqt  ", "video")]
)
def test_a_huge_file_is_not_read(head, reason, tmp_path):
    with (tmp_path / "x.jpg").open("wb") as file:
        file.write(head)
        file.truncate(40 << 30)  # takes no space
    asked = []
    with pytest.raises(UnreadablePicture, match=reason):
        read_picture(tmp_path / "x.jpg", asked.append)
    assert asked == []


def test_kinds_are_told_as_far_as_may_be_known(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    assert (is_folder(tmp_path), is_file(tmp_path)) == (True, False)
    assert (is_folder(tmp_path / "file"), is_file(tmp_path / "file")) == (False, True)
    assert not is_folder(tmp_path / "a\0b")

    def refused(self):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "stat", refused)
    assert not is_folder(tmp_path)

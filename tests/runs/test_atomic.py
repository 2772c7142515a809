"""A file is whole or what it was before."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from facecure.errors import InputError
from facecure.runs.atomic import alone, write_whole, writing


@pytest.mark.parametrize(
    ("content", "expected"),
    [(b"", b""), (b"\xff\x00\r\n", b"\xff\x00\r\n"), ("é\n", b"\xc3\xa9\n"), ("\udce9", rb"\udce9")],
)
def test_bytes_and_text_arrive_as_they_are(tmp_path, content, expected):
    file = tmp_path / "new" / "folder" / "file"
    write_whole(file, content)
    assert file.read_bytes() == expected
    assert list(file.parent.iterdir()) == [file]


def test_an_interruption_leaves_what_was_there(tmp_path, monkeypatch):
    file = tmp_path / "file"
    write_whole(file, "before")

    def interrupted(self, target):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", interrupted)
        with pytest.raises(KeyboardInterrupt):
            write_whole(file, "after")
    assert file.read_text() == "before"
    write_whole(file, "after")  # over what the interruption left
    assert file.read_text() == "after"
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("name", ["x" * 255, "é" * 127, "字" * 85, "caf\udce9"])
def test_a_name_may_be_as_long_as_the_system_allows(tmp_path, name):
    write_whole(tmp_path / name, "text")
    assert [file.name for file in tmp_path.iterdir()] == [name]


def test_text_with_names_that_are_not_utf_8_is_json_that_reads_as_it_was(tmp_path):
    told = {"path": os.fsdecode(b"/caf\xe9.jpg")}
    write_whole(tmp_path / "x.json", json.dumps(told, ensure_ascii=False))
    assert json.loads((tmp_path / "x.json").read_text(encoding="utf-8")) == told


def test_what_cannot_be_written_is_an_error_naming_it(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"file/x: .*; give access to it, or name another place"):
        write_whole(tmp_path / "file" / "x", b"")
    with pytest.raises(InputError, match="Permission denied"), writing(tmp_path):
        raise PermissionError(13, "Permission denied")


def test_one_process_at_a_time_is_in_a_folder(tmp_path):
    folder = tmp_path / "new" / "run"
    code = "import sys, pathlib, facecure.runs.atomic as a\nwith a.alone(pathlib.Path(sys.argv[1])): print('in')"
    command = [sys.executable, "-P", "-c", code, str(folder)]
    with alone(folder):
        other = subprocess.run(command, capture_output=True, text=True, check=False)
        assert other.returncode == 1
        assert f"InputError: another process is writing to {folder}" in other.stderr
        with pytest.raises(InputError, match="another process is writing"), alone(folder):
            pass
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "in\n"


def test_a_file_system_without_locks_is_named(tmp_path, monkeypatch):
    def without(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", without)
    with pytest.raises(InputError, match=r"its file system has no locks \(No locks available\)"), alone(tmp_path):
        pass

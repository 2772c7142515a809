"""A file is whole or what it was before."""

from __future__ import annotations

from pathlib import Path

import pytest

from facecure.atomic import write_whole


@pytest.mark.parametrize(
    ("content", "expected"), [(b"", b""), (b"\xff\x00\r\n", b"\xff\x00\r\n"), ("é\n", b"\xc3\xa9\n")]
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
